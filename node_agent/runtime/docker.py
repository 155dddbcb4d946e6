"""The Docker Engine as a `ContainerRuntime`; the only importer of the Docker SDK.

Calls run in a small thread pool, streams in another: a followed log may hold its thread for days.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from node_agent.runtime.base import (
    ContainerEvent,
    ContainerSpec,
    ContainerState,
    Image,
    LogOptions,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    Registry,
    RuntimeInfo,
    RuntimeRefused,
    RuntimeUnreachable,
    Session,
    Usage,
)
from node_agent.runtime.bridge import ThreadStream
from node_agent.runtime.engine_api import OWNER_LABEL, creation_of, image_of, state_of, usage_of, with_tag
from node_agent.runtime.sessions import SocketSession
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.clock import Clock

T = TypeVar("T")

# The engine starts about as many containers at once as the machine has cores; more threads only wait.
_THREADS = 12
# Followed logs at once, plus the event stream.
_STREAM_THREADS = 65
_TIMEOUT_S = 120
# What changes a container's state; probes by exec would otherwise flood the stream.
_EVENTS = ("start", "die", "oom", "destroy")
# Below this a bridge network lets other hosts reach its containers; from this major version on it must be asked to.
_GUARDS_DIRECT_ROUTING_SINCE = 28


class DockerRuntime:
    """One Docker Engine, addressed by `unix://PATH` or `tcp://HOST:PORT`. `owner` tells this agent's containers apart
    from everybody else's on the same engine."""

    def __init__(self, address: str, *, owner: str, clock: Clock) -> None:
        self._address = address
        self._owner = owner
        self._clock = clock
        self._calls = BlockingCalls("docker", threads=_THREADS)
        self._streams = BlockingCalls("docker-streams", threads=_STREAM_THREADS)
        self._client: docker.APIClient | None = None
        self._connecting = threading.Lock()

    # --- the line to the SDK ---

    def _engine(self) -> docker.APIClient:
        with self._connecting:
            if self._client is None:
                _knock(self._address)
                self._client = docker.APIClient(
                    base_url=self._address, version="auto", timeout=_TIMEOUT_S, num_pools=4, max_pool_size=_THREADS
                )
            return self._client

    async def _call(self, fn: Callable[[Any], T]) -> T:
        def run() -> T:
            with _translated():
                return fn(self._engine())

        return await self._calls.call(run)

    # --- containers ---

    async def info(self) -> RuntimeInfo:
        """The engine and its machine."""

        def fetch(engine: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            return engine.info(), engine.version()

        info, version = await self._call(fetch)
        return RuntimeInfo(
            name="docker",
            version=version.get("Version", ""),
            operating_system=info.get("OperatingSystem", ""),
            kernel=info.get("KernelVersion", ""),
            architecture=info.get("Architecture", ""),
            cpus=int(info.get("NCPU") or 1),
            memory_bytes=int(info.get("MemTotal") or 0),
            cgroup_version=int(info.get("CgroupVersion") or 1),
            root_dir=info.get("DockerRootDir", ""),
        )

    async def list(self) -> Sequence[ContainerState]:
        """All containers of this owner; those that vanish meanwhile are left out."""
        filters = {"label": f"{OWNER_LABEL}={self._owner}"}
        found = await self._call(lambda engine: engine.containers(all=True, filters=filters))
        states = await asyncio.gather(*(self._inspect_if_there(entry["Id"]) for entry in found))
        return tuple(state for state in states if state is not None)

    async def _inspect_if_there(self, container_id: str) -> ContainerState | None:
        with suppress(NoSuchContainer):
            return await self.inspect(container_id)
        return None

    async def inspect(self, container_id: str) -> ContainerState:
        """One container. What it shows is at least as new as the moment of the call."""
        seen_at = self._clock.now()
        return state_of(await self._call(lambda engine: engine.inspect_container(container_id)), seen_at=seen_at)

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container, return its id."""
        body = creation_of(spec, owner=self._owner)

        def create(engine: Any) -> str:
            try:
                return str(engine.create_container_from_config(body, spec.name)["Id"])
            except NotFound as missing:
                if "image" in str(missing.explanation).lower():
                    raise NoSuchImage(str(missing.explanation)) from missing
                raise RuntimeRefused(str(missing.explanation)) from missing
            except APIError as refused:
                if refused.status_code == 409 and "already in use" in str(refused.explanation):
                    raise NameTaken(str(refused.explanation)) from refused
                raise

        return await self._call(create)

    async def start(self, container_id: str) -> None:
        """Start it; harmless if it runs."""

        def start(engine: Any) -> None:
            try:
                engine.start(container_id)
            except NotFound as missing:
                # A missing executable is a 404 as well, in engines old and new.
                if "no such container" in str(missing.explanation).lower():
                    raise
                raise RuntimeRefused(str(missing.explanation)) from missing

        await self._call(start)

    async def kill(self, container_id: str, *, signal: str = "SIGKILL") -> None:
        """Send a signal; success if it does not run."""

        def kill(engine: Any) -> None:
            try:
                engine.kill(container_id, signal)
            except APIError as refused:
                if refused.status_code == 409 or "is not running" in str(refused.explanation):
                    return
                raise

        await self._call(kill)

    async def remove(self, container_id: str) -> None:
        """Remove it with its anonymous volumes; success if it is gone or already being removed."""

        def remove(engine: Any) -> None:
            try:
                engine.remove_container(container_id, force=True, v=True)
            except NotFound:
                return
            except APIError as refused:
                if refused.status_code != 409:
                    raise

        await self._call(remove)

    async def events(self) -> AsyncGenerator[ContainerEvent, None]:
        """What happens to this owner's containers from now on."""
        filters = {"type": "container", "label": f"{OWNER_LABEL}={self._owner}", "event": list(_EVENTS)}
        stream = await self._call(lambda engine: engine.events(decode=True, filters=filters))
        yield ContainerEvent(id="", at=self._clock.now())
        async with aclosing(self._iterate(stream)) as events:
            async for event in events:
                yield ContainerEvent(
                    id=event["Actor"]["ID"],
                    at=event.get("timeNano", 0) / 1e9,
                    removed=event.get("Action") == "destroy",
                    labels=event["Actor"].get("Attributes") or {},
                )
        raise RuntimeUnreachable("the event stream ended")

    async def _iterate(self, stream: Any) -> AsyncGenerator[Any, None]:
        """The items of an SDK stream, read by a thread of the streams' pool."""
        bridge: ThreadStream[Any] = ThreadStream(asyncio.get_running_loop())

        def items() -> Iterator[Any]:
            with _translated():
                yield from stream

        # No task group: it may not span a generator's yield. `finally` waits for the task in its place.
        reading = asyncio.ensure_future(self._streams.call(bridge.run, items()))
        try:
            while batch := await bridge.next_batch():
                for item in batch:
                    yield item
        finally:
            bridge.close(lambda: _close_quietly(stream))
            await reading

    # --- images and networks ---

    async def image(self, reference: str) -> Image:
        """An image on this node."""

        def fetch(engine: Any) -> Image:
            try:
                return image_of(engine.inspect_image(reference))
            except (ImageNotFound, NotFound) as missing:
                raise NoSuchImage(f"no image {reference!r} on this node") from missing

        return await self._call(fetch)

    async def images(self) -> Sequence[Image]:
        """All images on this node."""
        return tuple(image_of(entry) for entry in await self._call(lambda engine: engine.images()))

    async def pull(self, reference: str, credentials: Registry | None = None) -> Image:
        """Fetch an image, with the engine's own mirrors and certificates."""
        repository, tag = with_tag(reference)
        login = {"username": credentials.username, "password": credentials.password} if credentials else None

        def pull(engine: Any) -> None:
            try:
                for line in engine.pull(repository, tag, stream=True, decode=True, auth_config=login):
                    if "error" in line:
                        raise RuntimeRefused(str(line["error"]))
            except NotFound as missing:
                raise RuntimeRefused(str(missing.explanation)) from missing

        await self._call(pull)
        return await self.image(reference)

    async def load_image(self, archive: bytes) -> None:
        """Add the images of a `docker save` archive."""

        def load(engine: Any) -> None:
            for line in engine.load_image(archive):
                if "error" in line:
                    raise RuntimeRefused(str(line["error"]))

        await self._call(load)

    async def remove_image(self, image_id: str) -> None:
        """Remove an image; success if it is gone."""

        def remove(engine: Any) -> None:
            with suppress(NotFound):
                engine.remove_image(image_id)

        await self._call(remove)

    async def ensure_network(self, *, name: str, bridge: str, subnet: str, gateway: str) -> None:
        """Have the bridge network; one with another subnet is replaced if nothing uses it."""
        version = (await self.info()).version
        options = {"com.docker.network.bridge.name": bridge, "com.docker.network.bridge.enable_ip_masquerade": "false"}
        if int(version.split(".")[0]) >= _GUARDS_DIRECT_ROUTING_SINCE:
            options["com.docker.network.bridge.gateway_mode_ipv4"] = "nat-unprotected"
        wanted = [{"Subnet": subnet, "Gateway": gateway}]

        def ensure(engine: Any) -> None:
            for found in engine.networks(names=[name]):
                if found["Name"] != name:
                    continue  # the filter matches parts of names
                kept = found.get("IPAM", {}).get("Config") or [{}]
                if kept[0].get("Subnet") == subnet:
                    return
                engine.remove_network(found["Id"])
            engine.create_network(
                name,
                driver="bridge",
                options=options,
                ipam={"Driver": "default", "Config": wanted},
                labels={OWNER_LABEL: self._owner},
                check_duplicate=None,
            )

        await self._call(ensure)

    async def remove_network(self, name: str) -> None:
        """Remove a network; success if it is gone."""

        def remove(engine: Any) -> None:
            with suppress(NotFound):
                engine.remove_network(name)

        await self._call(remove)

    # --- streams and processes ---

    async def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """The container's output; with `follow` until it ends."""
        stream = await self._call(
            lambda engine: engine.logs(
                container_id,
                stream=True,
                follow=options.follow,
                timestamps=options.timestamps,
                tail="all" if options.tail is None else options.tail,
                since=options.since or None,
            )
        )
        async with aclosing(self._iterate(stream)) as pieces:
            async for piece in pieces:
                yield piece

    async def execute(
        self, container_id: str, command: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> Session:
        """Run a command in the container."""

        def begin(engine: Any) -> tuple[str, Any]:
            try:
                made = engine.exec_create(container_id, list(command), stdin=stdin, tty=tty)
            except APIError as refused:
                if refused.status_code == 409:
                    raise RuntimeRefused(str(refused.explanation)) from refused
                raise
            return str(made["Id"]), engine.exec_start(made["Id"], tty=tty, socket=True)

        async def resize(width: int, height: int) -> None:
            with suppress(RuntimeRefused, NoSuchContainer):  # it may have ended meanwhile
                await self._call(lambda engine: engine.exec_resize(session_id, height=height, width=width))

        async def exit_code() -> int:
            found = await self._call(lambda engine: engine.exec_inspect(session_id))
            return int(found.get("ExitCode") or 0)

        session_id, raw = await self._call(begin)
        return SocketSession(raw._sock, tty=tty, owner=raw, resize=resize, exit_code=exit_code)

    async def attach(self, container_id: str, *, stdin: bool = False) -> Session:
        """Connect to the container's own streams, from now on."""
        params = {"stdin": int(stdin), "stdout": 1, "stderr": 1, "stream": 1}
        state = await self.inspect(container_id)
        raw: Any = await self._call(lambda engine: engine.attach_socket(container_id, params))

        async def resize(width: int, height: int) -> None:
            with suppress(RuntimeRefused, NoSuchContainer):
                await self._call(lambda engine: engine.resize(container_id, height=height, width=width))

        async def exit_code() -> int:
            return 0

        return SocketSession(raw._sock, tty=state.tty, owner=raw, resize=resize, exit_code=exit_code)

    async def usage(self, container_id: str) -> Usage:
        """What it uses now."""
        return usage_of(await self._call(lambda engine: engine.stats(container_id, stream=False, one_shot=True)))

    async def close(self) -> None:
        """Give up connections and threads."""
        self._calls.close()
        self._streams.close()
        if self._client is not None:
            self._client.close()


@contextmanager
def _translated() -> Iterator[None]:
    """The SDK's errors as ours. What a 404 means beyond "no such container", the caller has said before."""
    try:
        yield
    except NotFound as missing:
        raise NoSuchContainer(str(missing.explanation)) from missing
    except APIError as refused:
        raise RuntimeRefused(str(refused.explanation or refused)) from refused
    except (requests.RequestException, DockerException, OSError) as lost:
        raise RuntimeUnreachable(f"no answer from the container engine: {lost}") from lost


def _knock(address: str) -> None:
    """Raise `OSError` if nobody listens. The SDK would too, but leaves a descriptor behind each time."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(_TIMEOUT_S)
            door.connect(address.removeprefix("unix://"))


def _close_quietly(stream: Any) -> None:
    with suppress(OSError, AttributeError, DockerException):
        stream.close()
        # The SDK shuts the socket down and leaves the response, and with it the descriptor, to the garbage collector.
        stream._response.close()
