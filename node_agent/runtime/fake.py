"""A container runtime in memory: passes the real one's contract tests, and lets a test end containers as it likes.

A container's process is decided by its command, as far as the contract needs: `["exit", CODE]` ends at once,
`["sleep"]` runs until it is signalled, `["missing"]` does not exist. Any other command sleeps.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from node_agent.runtime.base import (
    Channel,
    ContainerEvent,
    ContainerSpec,
    ContainerState,
    Image,
    LogOptions,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    Phase,
    Registry,
    RuntimeInfo,
    RuntimeRefused,
    RuntimeUnreachable,
    Session,
    Usage,
)
from orchestrator.machinery.clock import Clock

_SIGNALS = {"SIGKILL": 9, "SIGTERM": 15, "SIGINT": 2}
_EVENTS_MAX = 10_000


class FakeRuntime:
    """One machine's containers. `is_down` makes every call fail as if the engine had stopped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, ContainerState] = {}
        self._watchers: list[asyncio.Queue[ContainerEvent | None]] = []
        self._images: dict[str, Image] = {}
        self._networks: dict[str, str] = {}
        self._made = 0
        self._down = False
        self.specs: dict[str, ContainerSpec] = {}
        # What a registry would have, and how often each was pulled; tests fill and read these.
        self.registry: set[str] = set()
        self.pulled: list[str] = []
        self.log: dict[str, list[bytes]] = {}
        self.ignores_signals: set[str] = set()
        self.exec_codes: dict[tuple[str, ...], int] = {}

    # --- what a test does to it ---

    @property
    def is_down(self) -> bool:
        """Whether the runtime answers nobody."""
        return self._down

    @is_down.setter
    def is_down(self, down: bool) -> None:
        self._down = down
        if down:
            for watcher in self._watchers:
                watcher.put_nowait(None)

    def add_image(self, reference: str) -> None:
        """Have an image on the machine."""
        self._images[reference] = Image(
            id=f"sha256:{reference}", tags=(reference,), digests=(f"{reference}@sha256:00",), size_bytes=1000
        )

    def end(self, container_id: str, exit_code: int = 0, *, oom: bool = False) -> None:
        """The container's process ends by itself."""
        state = self._states[container_id]
        if state.phase is not Phase.RUNNING:
            return
        now = self._clock.now()
        self._change(state, phase=Phase.EXITED, exit_code=exit_code, finished_at=now, pid=0, oom_killed=oom, address="")

    # --- the protocol ---

    def _check(self) -> None:
        if self._down:
            raise RuntimeUnreachable("the fake runtime is down")

    def _find(self, container_id: str) -> ContainerState:
        self._check()
        state = self._states.get(container_id)
        if state is None:
            raise NoSuchContainer(f"no such container: {container_id}")
        return state

    def _change(self, state: ContainerState, **changes: object) -> None:
        changed: ContainerState = dataclasses.replace(state, **changes)  # type: ignore[arg-type]
        self._states[state.id] = changed
        self._tell(ContainerEvent(id=state.id, at=self._clock.now(), labels=state.labels))

    def _tell(self, event: ContainerEvent) -> None:
        for watcher in self._watchers:
            watcher.put_nowait(event)

    async def info(self) -> RuntimeInfo:
        """The machine that is none."""
        self._check()
        return RuntimeInfo(
            name="fake", version="1.0", operating_system="none", architecture="x86_64", cpus=4, memory_bytes=8 << 30
        )

    async def list(self) -> Sequence[ContainerState]:
        """All containers."""
        self._check()
        return tuple(dataclasses.replace(one, seen_at=self._clock.now()) for one in self._states.values())

    async def inspect(self, container_id: str) -> ContainerState:
        """One container."""
        return dataclasses.replace(self._find(container_id), seen_at=self._clock.now())

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container."""
        self._check()
        image = self._images.get(spec.image)
        if image is None:
            raise NoSuchImage(f"No such image: {spec.image}")
        if any(state.name == spec.name for state in self._states.values()):
            raise NameTaken(f"the name {spec.name} is taken")
        self._made += 1
        container_id = f"{self._made:064x}"
        self.specs[container_id] = spec
        self.log[container_id] = []
        self._states[container_id] = ContainerState(
            id=container_id,
            name=spec.name,
            labels=dict(spec.labels),
            phase=Phase.CREATED,
            image=spec.image,
            image_id=image.id,
            created_at=self._clock.now(),
            tty=spec.tty,
            stop_signal=spec.stop_signal or "SIGTERM",
        )
        return container_id

    async def start(self, container_id: str) -> None:
        """Start it; what runs then, its command says."""
        state = self._find(container_id)
        if state.phase is Phase.RUNNING:
            return
        spec = self.specs[container_id]
        command = [*spec.entrypoint, *spec.args]
        if command[:1] == ["missing"]:
            why = 'exec: "missing": executable file not found in $PATH'
            self._states[container_id] = dataclasses.replace(
                state, phase=Phase.EXITED, exit_code=127, error=why, finished_at=state.created_at
            )
            raise RuntimeRefused(why)
        address = f"10.244.0.{self._made + 1}" if spec.network not in ("", "host") and ":" not in spec.network else ""
        now = self._clock.now()
        self._change(
            state, phase=Phase.RUNNING, started_at=now, pid=1000 + self._made, address=address, finished_at=0.0
        )
        if command[:1] == ["exit"]:
            self.end(container_id, int(command[1]))

    async def kill(self, container_id: str, *, signal: str = "SIGKILL") -> None:
        """End it, unless it ignores the signal."""
        state = self._find(container_id)
        if state.phase is not Phase.RUNNING or (container_id in self.ignores_signals and signal != "SIGKILL"):
            return
        self.end(container_id, 128 + _SIGNALS.get(signal, 15))

    async def remove(self, container_id: str) -> None:
        """Remove it."""
        self._check()
        state = self._states.pop(container_id, None)
        if state is not None:
            self._tell(ContainerEvent(id=container_id, at=self._clock.now(), removed=True, labels=state.labels))

    async def events(self) -> AsyncGenerator[ContainerEvent, None]:
        """What happens from now on."""
        self._check()
        watcher: asyncio.Queue[ContainerEvent | None] = asyncio.Queue(_EVENTS_MAX)
        self._watchers.append(watcher)
        try:
            yield ContainerEvent(id="", at=self._clock.now())
            while (event := await watcher.get()) is not None:
                yield event
            raise RuntimeUnreachable("the event stream ended")
        finally:
            self._watchers.remove(watcher)

    async def image(self, reference: str) -> Image:
        """An image by its reference or id."""
        self._check()
        for name, image in self._images.items():
            if reference in (name, image.id):
                return image
        raise NoSuchImage(f"no image {reference!r} on this node")

    async def images(self) -> Sequence[Image]:
        """All images."""
        self._check()
        return tuple(self._images.values())

    async def pull(self, reference: str, credentials: Registry | None = None) -> Image:
        """Fetch an image from `registry`."""
        self._check()
        self.pulled.append(reference)
        await asyncio.sleep(0)
        if reference not in self.registry:
            raise RuntimeRefused(f"manifest for {reference} not found: manifest unknown")
        self.add_image(reference)
        return self._images[reference]

    async def load_image(self, archive: bytes) -> None:
        """Any archive is the pause image."""
        self._check()
        self.add_image("wherry/pause:1")

    async def remove_image(self, image_id: str) -> None:
        """Remove an image."""
        self._check()
        used = {state.image_id for state in self._states.values()}
        for name in [name for name, image in self._images.items() if image_id in (name, image.id)]:
            if self._images[name].id in used:
                raise RuntimeRefused(f"image {name} is being used by a container")
            del self._images[name]

    async def ensure_network(self, *, name: str, bridge: str, subnet: str, gateway: str) -> None:
        """Have a network."""
        self._check()
        self._networks[name] = subnet

    async def remove_network(self, name: str) -> None:
        """Remove a network."""
        self._check()
        self._networks.pop(name, None)

    async def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """What the test has put into `log`."""
        self._find(container_id)
        lines = self.log[container_id]
        shown = 0 if options.tail is None else max(0, len(lines) - options.tail)
        while True:
            while shown < len(lines):
                shown += 1
                yield lines[shown - 1]
            state = self._states.get(container_id)
            if not options.follow or state is None or state.phase is not Phase.RUNNING:
                return
            async with aclosing(self.events()) as events:
                async for event in events:
                    if event.id in ("", container_id):
                        break
            await asyncio.sleep(0.01)

    async def execute(
        self, container_id: str, command: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> Session:
        """`cat` gives its input back, everything else says its command; the exit code is from `exec_codes`."""
        if self._find(container_id).phase is not Phase.RUNNING:
            raise RuntimeRefused(f"container {container_id} is not running")
        return FakeSession(command, code=self.exec_codes.get(tuple(command), 0), echo=list(command) == ["cat"])

    async def attach(self, container_id: str, *, stdin: bool = False) -> Session:
        """An echo of what is sent."""
        self._find(container_id)
        return FakeSession((), code=0, echo=True)

    async def usage(self, container_id: str) -> Usage:
        """Some use."""
        self._find(container_id)
        return Usage(cpu_nanoseconds=1, memory_bytes=2, memory_working_set_bytes=1)

    async def close(self) -> None:
        """Nothing to give up."""


class FakeSession:
    """A process that echoes, or says its command and ends."""

    def __init__(self, command: Sequence[str], *, code: int, echo: bool) -> None:
        self._code = code
        self._output: asyncio.Queue[tuple[Channel, bytes] | None] = asyncio.Queue(1000)
        self.size: Mapping[str, int] = {}
        if not echo:
            self._output.put_nowait((Channel.STDOUT, " ".join(command).encode() + b"\n"))
            self._output.put_nowait(None)

    async def read(self) -> tuple[Channel, bytes] | None:
        """The next output."""
        return await self._output.get()

    async def write(self, data: bytes) -> None:
        """Comes back as output."""
        await self._output.put((Channel.STDOUT, data))

    async def close_input(self) -> None:
        """Ends the echo."""
        await self._output.put(None)

    async def resize(self, *, width: int, height: int) -> None:
        """Is remembered."""
        self.size = {"width": width, "height": height}

    async def wait_exit_code(self) -> int:
        """As the test said."""
        return self._code

    async def close(self) -> None:
        """Ends the echo."""
        self._output.put_nowait(None)
