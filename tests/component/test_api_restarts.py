"""Watches resume across a restart of the API server: killed again and again under writes, no client lists again."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.api.resources import CONFIGMAPS, LEASES, NODES, Resource
from orchestrator.api.views.meta import MetaView
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, NotFound, Unreachable
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.kubeconfig import BadKubeconfig, load_kubeconfig

KILLS = 5
WRITERS = 4
FOLLOWERS = 6


@dataclass
class Server:
    """An API server's process, which may be killed and started again on the same state."""

    state: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        settings = {
            "state-dir": str(self.state),
            "port": str(self.port),
            "advertise-address": "127.0.0.1",
            "listen-address": "127.0.0.1",
            "backup-every-s": "0",
        }
        flags = [part for key, value in settings.items() for part in (f"--{key}", value)]
        with (self.state / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "orchestrator.serve", "api-server", *flags, stdout=log, stderr=log
            )
        await self.wait_ready()

    async def wait_ready(self) -> None:
        assert self.process is not None
        async with asyncio.timeout(60):
            while True:
                assert self.process.returncode is None, (self.state / "log").read_text()[-2000:]
                with suppress(ApiError, Unreachable, BadKubeconfig, OSError):
                    async with Client(load_kubeconfig(self.state / "admin.kubeconfig")) as client:
                        await client.request("GET", "/readyz", timeout_s=2.0)
                        return
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def a_server(state: Path) -> AsyncIterator[Server]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or the server could not bind it beside us
        sock.bind(("127.0.0.1", 0))
        server = Server(state, sock.getsockname()[1])
        try:
            await server.start()
            yield server
        finally:
            if server.process is not None and server.process.returncode is None:
                await server.kill()


class CountsLists(Informer[MetaView]):
    """An informer that counts how often it had to list."""

    lists = 0

    async def _list(self) -> None:
        await super()._list()
        self.lists += 1


async def keep_writing(client: Client, writer: int, stop: asyncio.Event) -> None:
    """Create, change and delete config maps, whatever becomes of the server; no write is left under way."""
    dice = random.Random(writer)
    for number in itertools.count():
        if stop.is_set():
            return
        name = f"w{writer}-{dice.randrange(20)}"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(number)}}
        try:
            if dice.random() < 0.3:
                with suppress(NotFound):
                    await client.delete(CONFIGMAPS, name, "default")
            else:
                try:
                    await client.patch(CONFIGMAPS, name, {"data": {"n": str(number)}}, "default", into=bytes)
                except NotFound:
                    await client.create(CONFIGMAPS, body, "default", into=bytes)
        except (ApiError, Unreachable):
            await asyncio.sleep(0.02)


async def until_shows(informer: Informer[MetaView], wanted: Mapping[str, str]) -> None:
    """Wait until it holds just these objects of the default namespace, at these revisions."""
    changed = asyncio.Event()
    informer.subscribe(lambda old, new: changed.set())

    def shown() -> dict[str, str]:
        metas = [view.metadata for view in informer.values()]
        return {meta.key: meta.resource_version for meta in metas if meta.namespace == "default"}

    async with asyncio.timeout(60):
        while shown() != wanted:
            await changed.wait()
            changed.clear()


async def test_watches_resume_across_restarts_and_nobody_lists_again(tmp_path: Path) -> None:
    dice = random.Random(int(os.environ.get("WHERRY_TEST_SEED", "7")))
    async with a_server(tmp_path) as server, Client(load_kubeconfig(tmp_path / "admin.kubeconfig")) as client:

        def follower(resource: Resource, namespace: str = "") -> CountsLists:
            return CountsLists(client, resource, MetaView, namespace=namespace)

        busy = [follower(CONFIGMAPS, "default" if number % 2 else "") for number in range(FOLLOWERS)]
        quiet = [follower(LEASES), follower(NODES)]  # nothing is ever written there
        following = [asyncio.ensure_future(informer.run()) for informer in (*busy, *quiet)]
        for informer in (*busy, *quiet):
            await informer.wait_synced()
        stop = asyncio.Event()
        writing = [asyncio.ensure_future(keep_writing(client, writer, stop)) for writer in range(WRITERS)]
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0.2, 1.2))  # a random instant is the point
            await server.kill()
            await server.start()
        stop.set()
        await asyncio.gather(*writing)
        listing = await client.list(CONFIGMAPS, "default", into=MetaView)
        wanted = {item.metadata.key: item.metadata.resource_version for item in listing.items}
        for informer in busy:
            await until_shows(informer, wanted)
        assert [informer.lists for informer in (*busy, *quiet)] == [1] * len(following)
        for task in following:
            task.cancel()
        await asyncio.wait(following)
