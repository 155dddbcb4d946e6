"""Everything a decision about one pod may know, as frozen data."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node_agent.pods.labels import ContainerKind, Seen
from node_agent.runtime.base import Phase


class PullPhase(enum.Enum):
    """How far an image is."""

    PULLING = "pulling"
    PRESENT = "present"
    FAILED = "failed"
    BACKING_OFF = "backing off"
    NEVER = "never"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image that a container of this pod waits for."""

    phase: PullPhase
    message: str = ""
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An operation that the pod waits to try again: the status' waiting reason, its message, and when."""

    reason: str
    message: str
    retry_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the probes of one running container say. Without probes it is started, ready and alive."""

    started: bool = True
    ready: bool = True
    live: bool = True
    why: str = ""
    grace_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One pod, as seen at `now`."""

    now: float
    sandboxes: Sequence[Seen] = ()
    # By container name, newest attempt first.
    containers: Mapping[str, Sequence[Seen]] = field(default_factory=dict)
    # By container name: only those whose image was asked for.
    pulls: Mapping[str, Pull] = field(default_factory=dict)
    # By container id: only running containers; without an entry all is well once no probe is defined.
    health: Mapping[str, Health] = field(default_factory=dict)
    # By container name, or "" for the pod as a whole.
    failures: Mapping[str, Failure] = field(default_factory=dict)
    # Ids of containers that are being stopped.
    stopping: frozenset[str] = frozenset()
    volumes_ready: bool = False
    # The pod was refused by this node: reason and message.
    refused: tuple[str, str] | None = None
    # The last status was acknowledged by the API, so the pod may be taken off it.
    reported: bool = False
    started_at: float = 0.0

    @property
    def sandbox(self) -> Seen | None:
        """The running sandbox, if there is one."""
        return next((seen for seen in self.sandboxes if seen.state.phase is Phase.RUNNING), None)

    def newest(self, name: str) -> Seen | None:
        """The newest container of that name."""
        found = self.containers.get(name)
        return found[0] if found else None

    @property
    def running(self) -> tuple[Seen, ...]:
        """All running containers but the sandbox."""
        return tuple(seen for found in self.containers.values() for seen in found if seen.state.phase is Phase.RUNNING)


def group(seen: Sequence[Seen]) -> tuple[tuple[Seen, ...], dict[str, tuple[Seen, ...]]]:
    """Sort a pod's containers into sandboxes and, by name, the others; newest attempt first."""
    sandboxes: list[Seen] = []
    containers: dict[str, list[Seen]] = {}
    for one in sorted(seen, key=lambda one: (-one.attempt, -one.state.created_at, one.state.id)):
        if one.kind is ContainerKind.PAUSE:
            sandboxes.append(one)
        else:
            containers.setdefault(one.name, []).append(one)
    return tuple(sandboxes), {name: tuple(found) for name, found in containers.items()}
