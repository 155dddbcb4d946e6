"""The kubelet's API over real sockets, on a runtime in memory."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from node_agent.kubelet.port_forward import PROTOCOL
from node_agent.kubelet.server import KubeletServer, tls_context
from node_agent.kubelet.spdy import Data, Framer, Ping, Reply, Reset
from orchestrator.machinery.certificates import Authority, Subject, new_authority
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.kubeconfig import ClientConfig
from tests.support.runtime import PodSide, a_container, a_pod


@asynccontextmanager
async def an_agent(
    tmp_path: Any, ca: Authority | None = None
) -> AsyncIterator[tuple[PodSide, aiohttp.ClientSession, str]]:
    """A pod side with one running pod, its API, and an administrator's session."""
    now = SystemClock().now()
    ca = ca or Authority(new_authority("test", now=now))
    server = ca.issue(Subject(common_name="n1", ip_addresses=("127.0.0.1",)), now=now, server=True)
    (tmp_path / "tls.crt").write_bytes(server.cert_pem)
    (tmp_path / "tls.key").write_bytes(server.key_pem)
    async with PodSide(tmp_path / "state") as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        kubelet = KubeletServer(
            side.workers,
            side.runtime,
            SystemClock(),
            side.context.files,
            node_name="n1",
            socket_inside=lambda pid: a_plain_socket(),
        )
        runner = web.AppRunner(kubelet.app(), shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        context = tls_context(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key", ca=ca.cert_pem)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with a_session(ca, now, Subject(common_name="x", organizations=("system:masters",))) as session:
                yield side, session, url
        finally:
            await runner.cleanup()


def a_plain_socket() -> socket.socket:
    """What stands for a socket in the pod's network."""
    made = socket.socket()
    made.setblocking(False)
    return made


@asynccontextmanager
async def a_session(ca: Authority, now: float, subject: Subject) -> AsyncIterator[aiohttp.ClientSession]:
    issued = ca.issue(subject, now=now, client=True)
    config = ClientConfig(server="", ca=ca.cert_pem, certificate=issued.cert_pem, key=issued.key_pem)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=config.ssl_context())) as session:
        yield session


async def test_only_the_api_server_and_administrators_may_ask(tmp_path):
    now = SystemClock().now()
    ca = Authority(new_authority("test", now=now))
    async with an_agent(tmp_path, ca) as (_, session, url):
        async with session.get(f"{url}/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok")
        node = Subject(common_name="system:node:n2", organizations=("system:nodes",))
        async with a_session(ca, now, node) as other, other.get(f"{url}/healthz") as response:
            assert response.status == 403
        api_server = Subject(common_name="kube-apiserver-kubelet-client")
        async with a_session(ca, now, api_server) as other, other.get(f"{url}/healthz") as response:
            assert response.status == 200
        insecure = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(connector=insecure) as nobody:
            with pytest.raises(aiohttp.ClientError):
                await nobody.get(f"{url}/healthz")


async def test_logs(tmp_path):
    async with an_agent(tmp_path) as (side, session, url):
        (container_id,) = side.running()
        side.runtime.log[container_id] = [b"one\n", b"two\n", b"three\n"]

        async def ask(query: str, name: str = "main", pod: str = "web") -> tuple[int, str]:
            async with session.get(f"{url}/containerLogs/default/{pod}/{name}?{query}") as response:
                return response.status, await response.text()

        assert await ask("") == (200, "one\ntwo\nthree\n")
        assert await ask("tailLines=1") == (200, "three\n")
        assert await ask("limitBytes=5") == (200, "one\nt")
        assert await ask("tailLines=many") == (
            400,
            'invalid log options: strconv.ParseInt: parsing "many": invalid syntax',
        )
        assert await ask("previous=true") == (400, 'previous terminated container "main" in pod "web" not found')
        assert await ask("", name="other") == (400, "container other is not valid for pod web")
        assert (await ask("", pod="none"))[0] == 404
        side.runtime.end(container_id, 1)
        await side.wait(lambda: side.running() not in ([], [container_id]))
        assert await ask("previous=true") == (200, "one\ntwo\nthree\n")


async def test_a_log_of_a_container_that_waits(tmp_path):
    async with an_agent(tmp_path) as (side, session, url):
        side.pods.set(a_pod("late", containers=[a_container(image="nowhere:1")]))
        await side.wait(lambda: bool(side.api.status("late")))
        await side.wait(
            lambda: side.api.status("late")["containerStatuses"][0]["state"]["waiting"]["reason"].startswith("ErrImage")
        )
        async with session.get(f"{url}/containerLogs/default/late/main") as response:
            expected = 'container "main" in pod "late" is waiting to start: trying and failing to pull image'
            assert (response.status, await response.text()) == (400, expected)


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_a_command_says_how_it_ended(tmp_path, protocol):
    async with an_agent(tmp_path) as (side, session, url):
        side.runtime.exec_codes[("false",)] = 1
        heard = []
        target = f"{url}/exec/default/web/main?command=false&output=1&error=1"
        async with session.ws_connect(target, protocols=(protocol,)) as socket:
            assert socket.protocol == protocol
            async for message in socket:
                heard.append(message.data)
        assert heard[0] == b"\x01false\n"
        assert heard[1][0] == 3
        status = json.loads(heard[1][1:])
        assert (status["reason"], status["details"]["causes"][0]["message"]) == ("NonZeroExitCode", "1")


async def test_input_goes_in_and_ends(tmp_path):
    async with (
        an_agent(tmp_path) as (_, session, url),
        session.ws_connect(
            f"{url}/exec/default/web/main?command=cat&input=1&output=1", protocols=("v5.channel.k8s.io",)
        ) as socket,
    ):
        await socket.send_bytes(b"\x00ahoy")
        assert (await socket.receive()).data == b"\x01ahoy"
        await socket.send_bytes(b'\x04{"Width": 100, "Height": 30}')
        await socket.send_bytes(b"\xff\x00")
        assert json.loads((await socket.receive()).data[1:])["status"] == "Success"


async def test_a_command_in_a_container_that_does_not_run_is_refused(tmp_path):
    async with (
        an_agent(tmp_path) as (_, session, url),
        session.get(f"{url}/exec/default/web/none?command=x&output=1") as response,
    ):
        assert (response.status, await response.text()) == (500, 'container not found ("none")')


async def test_pods_stats_and_metrics(tmp_path):
    async with an_agent(tmp_path) as (_, session, url):
        async with session.get(f"{url}/pods") as response:
            listed = await response.json()
            assert listed["items"][0]["status"]["phase"] == "Running"
        async with session.get(f"{url}/stats/summary") as response:
            found = await response.json()
            assert found["pods"][0]["containers"][0]["memory"]["workingSetBytes"] == 1
        async with session.get(f"{url}/metrics") as response:
            assert "wherry_node_pods" in await response.text()


async def test_a_forwarded_port_carries_bytes_both_ways_and_says_what_fails(tmp_path):
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())  # answers only after the client's end of input
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    framer = Framer()
    async with (
        server,
        an_agent(tmp_path) as (_, session, url),
        session.ws_connect(f"{url}/portForward/default/web", protocols=(PROTOCOL,)) as client,
    ):
        heard: list[Any] = []

        async def hear(count: int) -> None:
            while len(heard) < count:
                heard.extend(framer.feed((await client.receive()).data))

        def streams(first: int, port: int, request: str) -> bytes:
            common = {"port": str(port), "requestID": request}
            error = framer.open(first, {"streamType": "error", **common})
            return error + framer.open(first + 2, {"streamType": "data", **common})

        whole = streams(1, port, "0") + framer.data(3, b"ahoy") + framer.data(3, b"", fin=True) + framer.ping(1)
        await client.send_bytes(whole[:7])  # frames may be cut anywhere
        await client.send_bytes(whole[7:])
        await hear(6)
        assert {type(frame) for frame in heard} == {Reply, Data, Ping}
        assert b"".join(frame.data for frame in heard if isinstance(frame, Data) and frame.stream == 3) == b"AHOY"
        assert Data(1, b"", fin=True) in heard
        heard.clear()

        await client.send_bytes(streams(5, 1, "1") + framer.open(9, {"streamType": "nonsense"}))
        await hear(5)
        assert Reset(9) in heard
        (said,) = [frame for frame in heard if isinstance(frame, Data) and frame.stream == 5]
        assert said.data.startswith(b"error forwarding port 1 to pod default/web: ")
