"""What the agent needs of a container runtime, in our words, and the promises every implementation keeps."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class RuntimeUnreachable(Exception):
    """The runtime does not answer: nothing is known about any container, so no status may change."""


class NoSuchContainer(Exception):
    """The container is gone, or never was. For a stop or a removal, that is success."""


class NoSuchImage(Exception):
    """The image is not on this node: pull it."""


class NameTaken(Exception):
    """A container of that name exists: look at it instead of creating another."""


class RuntimeRefused(Exception):
    """The runtime answered, and the answer is no; its text is for the user."""


class Phase(enum.Enum):
    """Where a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A path of the node inside a container."""

    source: str
    target: str
    read_only: bool = False
    propagation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """A port of the pod on the node's own address."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use; 0 is no limit."""

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    memory_bytes: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything to create a container with.

    `network`, `ipc` and `pid` are namespaces: "" the runtime's own choice, "host", "shareable", the name of a network,
    or "container:ID". `entrypoint` and `args` empty mean the image's own; an entrypoint alone drops the image's args.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    entrypoint: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Sequence[str] = ()
    working_dir: str = ""
    user: str = ""
    groups: Sequence[str] = ()
    hostname: str = ""
    network: str = ""
    ipc: str = ""
    pid: str = ""
    mounts: Sequence[Mount] = ()
    ports: Sequence[PublishedPort] = ()
    limits: Limits = field(default_factory=Limits)
    privileged: bool = False
    read_only_root: bool = False
    capabilities_add: Sequence[str] = ()
    capabilities_drop: Sequence[str] = ()
    security_options: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    stop_signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container as it was seen at `seen_at`. Times are seconds since 1970, 0 for never."""

    id: str
    name: str
    labels: Mapping[str, str]
    phase: Phase
    image: str = ""
    image_id: str = ""
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    address: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    seen_at: float = 0.0
    tty: bool = False
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """Something happened to a container; look at it to know what. `removed` means there is nothing left to look at."""

    id: str
    at: float
    removed: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image on this node."""

    id: str
    tags: Sequence[str] = ()
    digests: Sequence[str] = ()
    size_bytes: int = 0
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Credentials for one registry."""

    username: str
    password: str
    server: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeInfo:
    """The runtime and its machine."""

    name: str
    version: str
    operating_system: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int = 1
    memory_bytes: int = 0
    cgroup_version: int = 1
    root_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses now."""

    cpu_nanoseconds: int = 0
    memory_bytes: int = 0
    memory_working_set_bytes: int = 0


class Channel(enum.IntEnum):
    """The streams of a process, by their descriptor."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which part of a container's log."""

    follow: bool = False
    tail: int | None = None
    since: float = 0.0
    timestamps: bool = False


class Session(Protocol):
    """A process in a container with its streams, or a connection to a container's own. Close it when done."""

    async def read(self) -> tuple[Channel, bytes] | None:
        """The next output, or None at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to its input; silently nothing once the process has closed it."""
        ...

    async def close_input(self) -> None:
        """End its input."""
        ...

    async def resize(self, *, width: int, height: int) -> None:
        """Change its terminal's size."""
        ...

    async def wait_exit_code(self) -> int:
        """The process' exit code, once `read` has returned None; 0 for an attached container."""
        ...

    async def close(self) -> None:
        """Give the connection up; the process is not killed."""
        ...


class ContainerRuntime(Protocol):
    """A container runtime.

    Every method may raise `RuntimeUnreachable`. Methods taking a container's id raise `NoSuchContainer`. Everything may
    be repeated: starting what runs, stopping what has stopped, removing what is gone, ensuring what exists is success.
    """

    async def info(self) -> RuntimeInfo:
        """The runtime and its machine."""
        ...

    async def list(self) -> Sequence[ContainerState]:
        """All containers that this agent made, in any phase."""
        ...

    async def inspect(self, container_id: str) -> ContainerState:
        """One container."""
        ...

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container, return its id. Raises NoSuchImage, NameTaken, RuntimeRefused."""
        ...

    async def start(self, container_id: str) -> None:
        """Start it. Raises RuntimeRefused if it cannot be; then it stays CREATED, with an exit code and an error."""
        ...

    async def kill(self, container_id: str, *, signal: str = "SIGKILL") -> None:
        """Send a signal to its first process; success if it does not run. It ends some time after."""
        ...

    async def remove(self, container_id: str) -> None:
        """Remove it, killing it if it runs; success if it is gone."""
        ...

    def events(self) -> AsyncGenerator[ContainerEvent, None]:
        """What happens to this agent's containers from now on; ends with RuntimeUnreachable. The first item says
        that the stream is up and has an empty id."""
        ...

    async def image(self, reference: str) -> Image:
        """An image on this node. Raises NoSuchImage."""
        ...

    async def images(self) -> Sequence[Image]:
        """All images on this node."""
        ...

    async def pull(self, reference: str, credentials: Registry | None = None) -> Image:
        """Fetch an image. Raises RuntimeRefused with the registry's reason."""
        ...

    async def load_image(self, archive: bytes) -> None:
        """Add the images of a `docker save` archive."""
        ...

    async def remove_image(self, image_id: str) -> None:
        """Remove an image; success if it is gone. Raises RuntimeRefused while it is used."""
        ...

    async def ensure_network(self, *, name: str, bridge: str, subnet: str, gateway: str) -> None:
        """Have a bridge network of that subnet, without masquerading. Raises RuntimeRefused if one of that name with
        another subnet is in use."""
        ...

    async def remove_network(self, name: str) -> None:
        """Remove a network; success if it is gone. Raises RuntimeRefused while it is used."""
        ...

    def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """The container's output, both streams in order; with `follow` until it ends."""
        ...

    async def execute(
        self, container_id: str, command: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> Session:
        """Run a command in the container. Raises RuntimeRefused if the container does not run."""
        ...

    async def attach(self, container_id: str, *, stdin: bool = False) -> Session:
        """Connect to the container's own streams, from now on."""
        ...

    async def usage(self, container_id: str) -> Usage:
        """What it uses now."""
        ...

    async def close(self) -> None:
        """Give up connections and threads."""
        ...
