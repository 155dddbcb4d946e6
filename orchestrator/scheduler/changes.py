"""What happens to a cluster that may give a waiting pod its node: the words in which plugins say what wakes a pod."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

from orchestrator.scheduler.request import PodRequest


class Change(Flag):
    """Kinds of changes; one update of a node may be several at once."""

    NODE_ADDED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    #: Taints, and the cordon.
    NODE_TAINTS = auto()
    NODE_REMOVED = auto()
    #: A pod counts against a node from now on.
    POD_CAME = auto()
    #: A pod counts no more: deleted, finished, or not bound after all. One whose labels or requests change goes and
    #: comes.
    POD_WENT = auto()

    NOTHING = 0


@dataclass(frozen=True, slots=True)
class Happened:
    """A change: to the node in `row`, or there; None if that is not in the table. `pod` came or went."""

    change: Change
    row: int | None
    pod: PodRequest | None = None
