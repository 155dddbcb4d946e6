"""A simulated cluster in one process and in virtual time: the real API server, and nodes that start and stop pods.

The server is the one that is shipped, on a store in memory and a socket of the loopback, so nothing here is kinder than
it. The clock runs only when nothing is left to do: an hour takes as long as what happens in it. `SimulatedApi` stands
between the server and the controllers, and loses and delays what a network loses and delays.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object, namespaced_key
from orchestrator.api.resources import NODES, PODS, Resource
from orchestrator.controllers.context import ControllersConfig
from orchestrator.controllers.registry import CONTROLLERS, Registered, run_all
from orchestrator.machinery.client import STRATEGIC_PATCH, Client, Listing
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import ApiError, Conflict, Gone, NotFound, Unreachable
from orchestrator.machinery.watch_stream import WatchEvent
from orchestrator.server.conversion import decoded
from tests.support.server import RunningServer, a_running_server

Refusal = Callable[[str, Resource, str], ApiError | None]


class SimulatedClock:
    """The running loop's (virtual) time, shifted to a plausible year."""

    def now(self) -> float:
        return 1_700_000_000.0 + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class NetworkedClient:
    """The controllers' client, over a network with faults: the surface of `orchestrator.machinery.client.Client`."""

    def __init__(self, client: Client, clock: SimulatedClock) -> None:
        self._client = client
        self._clock = clock
        self.watch_lag_s = 0.001
        #: The answer to a request that does not even reach the server, if it should not.
        self.refuse: Refusal = lambda method, resource, name: None
        #: Writes for which this is true happen, but their answer does not arrive.
        self.loses_answer: Callable[[str, Resource], bool] = lambda method, resource: False
        #: What others do between a write's decision and its arrival at the server.
        self.meanwhile: Callable[[str, Resource, str], Awaitable[None]] = _nothing
        self._watches: set[asyncio.Queue[tuple[float, WatchEvent | Exception | None]]] = set()

    def lose_watches(self) -> None:
        """End every watch, what is on its way included; each client must list again."""
        for events in self._watches:
            while not events.empty():
                events.get_nowait()
            events.put_nowait((0.0, Gone("too old resource version")))
        self._watches.clear()

    async def get(self, resource: Resource, name: str, namespace: str = "", *, into: type[Any]) -> Any:
        self._check("get", resource, name)
        return await self._client.get(resource, name, namespace, into=into)

    async def list(self, resource: Resource, namespace: str = "", *, into: type[Any], **scope: Any) -> Listing[Any]:
        self._check("list", resource, "")
        return await self._client.list(resource, namespace, into=into, **scope)

    async def create(self, resource: Resource, body: Any, namespace: str = "", **how: Any) -> Any:
        given = codec.decode(codec.encode(body))
        name = how.get("name") or (given.get("metadata") or {}).get("name", "")
        return await self._write("create", resource, name, self._client.create(resource, body, namespace, **how))

    async def update(self, resource: Resource, name: str, body: Any, namespace: str = "", **how: Any) -> Any:
        return await self._write("update", resource, name, self._client.update(resource, name, body, namespace, **how))

    async def patch(self, resource: Resource, name: str, body: Any, namespace: str = "", **how: Any) -> Any:
        return await self._write("patch", resource, name, self._client.patch(resource, name, body, namespace, **how))

    async def delete(self, resource: Resource, name: str, namespace: str = "", **how: Any) -> bytes:
        done: bytes = await self._write("delete", resource, name, self._client.delete(resource, name, namespace, **how))
        return done

    async def request(self, method: str, path: str, **how: Any) -> bytes:
        return await self._client.request(method, path, **how)

    async def watch(self, resource: Resource, namespace: str = "", **scope: Any) -> AsyncIterator[WatchEvent]:
        events: asyncio.Queue[tuple[float, WatchEvent | Exception | None]] = asyncio.Queue()
        pumping = asyncio.ensure_future(self._pump(events, resource, namespace, scope))
        self._watches.add(events)
        try:
            while True:
                due_s, event = await events.get()
                if (wait_s := due_s - self._clock.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                    if events not in self._watches:
                        continue  # lost while it was on its way
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self._watches.discard(events)
            pumping.cancel()

    async def _pump(
        self,
        events: asyncio.Queue[tuple[float, WatchEvent | Exception | None]],
        resource: Resource,
        namespace: str,
        scope: Mapping[str, Any],
    ) -> None:
        end: Exception | None = None
        try:
            async for event in self._client.watch(resource, namespace, **scope):
                if events in self._watches:
                    events.put_nowait((self._clock.monotonic() + self.watch_lag_s, event))
        except (ApiError, Unreachable) as error:
            end = error
        events.put_nowait((0.0, end))

    def _check(self, method: str, resource: Resource, name: str) -> None:
        refusal = self.refuse(method, resource, name)
        if refusal is not None:
            raise refusal

    async def _write(self, method: str, resource: Resource, name: str, write: Any) -> Any:
        try:
            self._check(method, resource, name)
        except ApiError:
            write.close()
            raise
        await self.meanwhile(method, resource, name)
        written = await write
        if self.loses_answer(method, resource):
            raise Unreachable(f"no answer to {method} of {resource.plural}")
        return written


async def _nothing(method: str, resource: Resource, name: str) -> None:
    pass


class SimulatedApi:
    """The cluster as a test sees it: reads what is there at this moment, and writes as its admin would.

    `client` is what controllers get. `writes` lists every change as (create, change or delete, plural, key).
    """

    def __init__(self, running: RunningServer, admin: Client, client: NetworkedClient, clock: SimulatedClock) -> None:
        self.clock = clock
        self.client = client
        self.admin = admin
        self.writes: list[tuple[str, str, str]] = []
        #: Called with (ADDED, MODIFIED or DELETED, resource, object) as soon as a change is there.
        self.observers: list[Callable[[str, Resource, Object], None]] = []
        self._running = running
        for row in self._rows():
            running.cache.subscribe(row.storage, self._teller(row))

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Every object of a resource, as it is at this moment."""
        row = self._row(resource)
        return [decoded(row, value) for value in self._running.cache.list(row.storage, namespace)]

    def one(self, resource: Resource, key: str) -> Object:
        """The object with that key, as it is at this moment. Raises `KeyError`."""
        row = self._row(resource)
        namespace, _, name = key.rpartition("/")
        value = self._running.cache.get(row.storage, namespace, name)
        if value is None:
            raise KeyError(key)
        return decoded(row, value)

    async def put(self, resource: Resource, obj: Object) -> Object:
        """Create an object, with the status that it brings."""
        namespace = (obj.get("metadata") or {}).get("namespace", "")
        made: Object = await self.admin.create(resource, obj, namespace, into=dict)
        if obj.get("status") and self._row(resource).door("status"):
            name = made["metadata"]["name"]
            patch = {"status": obj["status"]}
            made = await self.admin.patch(resource, name, patch, namespace, into=dict, subresource="status")
        await self._running.cache.wait_fresh()
        return made

    async def change(self, resource: Resource, key: str, change: Callable[[Object], Any]) -> Object:
        """Change an object and its status, on its newest state."""
        namespace, _, name = key.rpartition("/")
        while True:
            fresh: Object = await self.admin.get(resource, name, namespace, into=dict)
            before = codec.copied(fresh)
            change(fresh)
            status = fresh.get("status")
            try:
                if {**fresh, "status": None} != {**before, "status": None}:
                    fresh = await self.admin.update(resource, name, fresh, namespace, into=dict)
                if status != before.get("status"):
                    fresh["status"] = status
                    fresh = await self.admin.update(resource, name, fresh, namespace, into=dict, subresource="status")
            except Conflict:
                continue
            await self._running.cache.wait_fresh()
            return fresh

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, propagation: str = "") -> None:
        """Delete an object as a user does."""
        await self.admin.delete(resource, name, namespace, propagation=propagation)
        await self._running.cache.wait_fresh()

    async def remove(self, resource: Resource, key: str) -> None:
        """Make an object go at once: without grace, and without waiting for what it owns."""
        namespace, _, name = key.rpartition("/")
        await self.admin.delete(resource, name, namespace, grace_s=0, propagation="Background")
        await self._running.cache.wait_fresh()

    def _rows(self) -> list[Kind]:
        rows = self._running.server.core.served.kinds.rows
        return [row for row in rows if not row.virtual and row.storage == row.resource]

    def _row(self, resource: Resource) -> Kind:
        row = self._running.server.core.served.kinds.find(resource.group, resource.version, resource.plural)
        assert row is not None
        return row

    def _teller(self, row: Kind) -> Callable[[bytes | None, bytes | None], None]:
        def tell(old: bytes | None, new: bytes | None) -> None:
            value = new or old
            assert value is not None
            obj = decoded(row, value)
            meta = obj["metadata"]
            verb = "create" if not old else "delete" if new is None else "change"
            self.writes.append((verb, row.resource.plural, namespaced_key(meta.get("namespace", ""), meta["name"])))
            type_ = {"create": "ADDED", "change": "MODIFIED", "delete": "DELETED"}[verb]
            for observe in tuple(self.observers):
                observe(type_, row.resource, obj)

        return tell


@asynccontextmanager
async def a_simulated_api() -> AsyncIterator[SimulatedApi]:
    """The API server and nothing else."""
    clock = SimulatedClock()
    async with (
        a_running_server(clock=clock) as running,
        running.client() as admin,
        running.client("controllers") as client,
    ):
        yield SimulatedApi(running, admin, NetworkedClient(client, clock), clock)


class SimulatedNodes:
    """Scheduler and node agents at once: pods are bound, become ready after `start_s` and end after `stop_s`.

    Use as `async with`; a failure of theirs ends the block.
    """

    def __init__(self, api: SimulatedApi, *names: str, start_s: float = 1.0, stop_s: float = 0.5) -> None:
        self.api = api
        self.names = names
        self.start_s, self.stop_s = start_s, stop_s
        #: Pods for which this is true never become ready.
        self.is_broken: Callable[[Object], bool] = lambda pod: False
        self._next_name = itertools.cycle(names)
        self._addresses = itertools.count(2)
        self._tasks = asyncio.TaskGroup()
        self._playing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> SimulatedNodes:
        await self._tasks.__aenter__()
        for name in self.names:
            await self.api.put(NODES, ready_node(name, timestamp(self.api.clock.now())))
        self._start(self._beat(), "heartbeats")
        self.api.observers.append(self._observe)
        return self

    async def __aexit__(self, *failed: Any) -> None:
        self.api.observers.remove(self._observe)
        for task in self._playing:
            task.cancel()
        await self._tasks.__aexit__(*failed)

    def _observe(self, type_: str, resource: Resource, pod: Object) -> None:
        if resource != PODS or type_ == "DELETED":
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._start(self._until_gone(self._end(pod)), "pod-ends")
        elif type_ == "ADDED" and not pod["spec"].get("nodeName"):
            self._start(self._until_gone(self._run(pod)), "pod-starts")

    def _start(self, what: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.create_task(what, name=name)
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    async def _until_gone(self, what: Awaitable[None]) -> None:
        with suppress(NotFound, Conflict):  # it, or its namespace, is gone, or a namesake took its place
            await what

    async def _run(self, pod: Object) -> None:
        meta, admin = pod["metadata"], self.api.admin
        target = {"apiVersion": "v1", "kind": "Node", "name": next(self._next_name)}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"], "uid": meta["uid"]}}
        body = {**binding, "target": target}
        await admin.create(PODS, body, meta["namespace"], into=dict, name=meta["name"], subresource="binding")
        if self.is_broken(pod):
            return
        await asyncio.sleep(self.start_s)
        number = next(self._addresses)
        address, at = f"10.244.{number // 250}.{number % 250}", timestamp(self.api.clock.now())
        conditions = [
            {"type": type_, "status": "True", "lastTransitionTime": at} for type_ in ("Ready", "ContainersReady")
        ]
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        await admin.patch(
            PODS, meta["name"], patch, meta["namespace"], into=dict, subresource="status", patch_type=STRATEGIC_PATCH
        )

    async def _end(self, pod: Object) -> None:
        meta = pod["metadata"]
        await asyncio.sleep(self.stop_s)
        await self.api.admin.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace_s=0)

    async def _beat(self) -> None:
        """What node agents post every ten seconds; a node labelled `cut: yes` is not heard."""
        while True:
            await asyncio.sleep(10)
            at = timestamp(self.api.clock.now())
            for node in self.api.all(NODES):
                if node["metadata"].get("labels", {}).get("cut") == "yes":
                    continue
                condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": at}
                patch = {"metadata": {"uid": node["metadata"]["uid"]}, "status": {"conditions": [condition]}}
                name = node["metadata"]["name"]
                with suppress(NotFound, Conflict):
                    await self.api.admin.patch(
                        NODES, name, patch, into=dict, subresource="status", patch_type=STRATEGIC_PATCH
                    )


@asynccontextmanager
async def controlled(
    api: SimulatedApi, controllers: tuple[Registered, ...] = CONTROLLERS, **config: Any
) -> AsyncIterator[None]:
    """The controllers' process, until it is killed at the end of the block."""
    client: Any = api.client
    running = asyncio.ensure_future(run_all(client, api.clock, ControllersConfig(**config), controllers))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(fact: Callable[[], Any], *, limit_s: float = 600.0) -> None:
    """Wait until the fact holds, in virtual time."""
    # Looked at ever more rarely: in ten minutes nothing happens but heartbeats, and each look costs real time.
    pause_s = 0.05
    async with asyncio.timeout(limit_s):
        while not fact():
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.05, 1.0)


def ready_node(name: str, at: str = "2026-01-01T00:00:00Z") -> Object:
    """A node whose agent says that all is well."""
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": [{**condition, "lastHeartbeatTime": at, "lastTransitionTime": at}]},
    }
