"""A whole API server within the test's process, on a real socket: for everybody's component tests.

    async def test_something(api_server: RunningServer) -> None:   # fixture of tests/component/conftest.py
        async with api_server.client() as client: ...

or `async with a_running_server() as server:` for one with other parts. Plain HTTP, so no certificates are needed: who
asks is said by a bearer token. `TOKENS` names the users there are; `admin` may do anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.api.resources import NAMESPACES, SERVICEACCOUNTS
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, SystemClock
from orchestrator.machinery.errors import Unauthorized
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.server.admission.base import Admission, AdmissionRequest
from orchestrator.server.admission.chain import build_admission
from orchestrator.server.app import ApiServer, ServerSettings, build_server, serving
from orchestrator.server.authentication.base import AUTHENTICATED, MASTERS, Authenticated, Credentials, User
from orchestrator.server.authorization.base import ALLOW, Attributes, Verdict
from orchestrator.server.authorization.chain import build_authorizer, review_rules
from orchestrator.server.watch_cache import WatchCache
from orchestrator.store.base import Store
from orchestrator.store.memory import MemoryStore
from orchestrator.store.sqlite import open_sqlite

TOKENS: Mapping[str, User] = {
    "admin": User("kubernetes-admin", (MASTERS, AUTHENTICATED)),
    "controllers": User("system:kube-controller-manager", (AUTHENTICATED,)),
    "scheduler": User("system:kube-scheduler", (AUTHENTICATED,)),
    "proxy": User("system:kube-proxy", ("system:node-proxier", AUTHENTICATED)),
    "node-n1": User("system:node:n1", ("system:nodes", AUTHENTICATED)),
    "node-n2": User("system:node:n2", ("system:nodes", AUTHENTICATED)),
    "nobody": User("somebody", (AUTHENTICATED,)),
}


class ByToken:
    """An authenticator for tests: the token is looked up in a table."""

    def __init__(self, users: Mapping[str, User] = TOKENS) -> None:
        self._users = users

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        if not credentials.bearer_token:
            return None
        try:
            return Authenticated(self._users[credentials.bearer_token], credentials.audiences)
        except KeyError:
            raise Unauthorized("Unauthorized") from None


class Trusting:
    """An authenticator for clients that send no token over plain HTTP, as kubectl: everybody is the administrator."""

    def authenticate(self, credentials: Credentials) -> Authenticated:
        return Authenticated(TOKENS["admin"])


class AllowAll:
    """An authorizer for tests that are about something else."""

    def authorize(self, attributes: Attributes) -> Verdict:
        return ALLOW


class NoAdmission:
    """An admission chain without links."""

    def mutate(self, request: AdmissionRequest) -> None:
        pass

    def validate(self, request: AdmissionRequest) -> None:
        pass


@dataclass
class RunningServer:
    """Where it listens, and its parts for tests that look inside."""

    url: str
    server: ApiServer
    store: Store
    cache: WatchCache
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self, token: str = "admin") -> Client:
        """A client of ours; use as `async with`."""
        return Client(self.config(token))

    def config(self, token: str = "admin") -> ClientConfig:
        """How to reach it."""
        return ClientConfig(server=self.url, token=token)


@asynccontextmanager
async def a_running_server(
    *,
    store: Store | None = None,
    path: Path | None = None,
    clock: Clock | None = None,
    authenticator: Any = None,
    authorizer: Any = None,
    admission: Admission | None = None,
    settings: ServerSettings | None = None,
    namespaces: tuple[str, ...] = ("default", "kube-system", "kube-public", "kube-node-lease"),
    **parts: Any,
) -> AsyncIterator[RunningServer]:
    """A server on a free loopback port, with the real admission and authorization unless others are given.

    With `path`, the store is SQLite there; otherwise it is in memory. The usual namespaces exist, each with its default
    service account, as controllers would have made them.
    """
    the_clock = clock or SystemClock()
    own = store or (await open_sqlite(path, clock=the_clock) if path else MemoryStore())
    cache = WatchCache(own)
    await cache.start()
    server = build_server(
        store=own,
        cache=cache,
        authenticator=authenticator or ByToken(),
        authorizer=authorizer or build_authorizer(cache),
        admission=admission or build_admission(),
        clock=the_clock,
        dice=Random(7),
        settings=settings,
        rules_of=review_rules,
        **parts,
    )
    try:
        async with serving(server, host="127.0.0.1", port=0, tls=None) as port:
            running = RunningServer(f"http://127.0.0.1:{port}", server, own, cache)
            await _make_namespaces(running, namespaces)
            yield running
    finally:
        if store is None:
            await own.close()


async def _make_namespaces(running: RunningServer, names: tuple[str, ...]) -> None:
    async with running.client() as client:
        for name in names:
            if running.cache.get(NAMESPACES, "", name) is None:
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                await client.create(NAMESPACES, body, into=bytes)
                account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
                await client.create(SERVICEACCOUNTS, account, name, into=bytes)


@asynccontextmanager
async def in_a_task(running: Any) -> AsyncIterator[Any]:
    """Hold a context manager open in a task of its own: fixtures are set up and torn down in different tasks."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Any] = loop.create_future()
    done = asyncio.Event()

    async def hold() -> None:
        try:
            async with running as value:
                ready.set_result(value)
                await done.wait()
        except BaseException as exc:
            if not ready.done():
                ready.set_exception(exc)
                return
            raise

    task = loop.create_task(hold(), name="server-of-a-fixture")
    try:
        yield await ready
    finally:
        done.set()
        await task


def a_pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A pod as a user writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx:1.16"}], **spec},
    }


def a_configmap(name: str = "c", **data: str) -> dict[str, Any]:
    """A config map with this data."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
