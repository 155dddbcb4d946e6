"""Stateless rules over the node arrays: filters give a mask and their reasons, scorers give 0..1 a node.

Counts that a plugin needs of the pods that run are a `Tally` of the table's. Each filter says which changes may give a
pod it refused its node; nobody else knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.columns import Mask, Rows, Score
from orchestrator.scheduler.request import Constraints, PodRequest
from orchestrator.scheduler.table import NodeTable


class Refuser(Protocol):
    """Whoever may refuse a pod, and therefore says what wakes it."""

    @property
    def name(self) -> str:
        """Kubernetes' name of the plugin."""
        ...

    @property
    def wakes_on(self) -> Change:
        """The kinds of changes that may give a pod refused by this one its node."""
        ...

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        """Whether this change, one of `wakes_on`, may do so for this pod: the queue's hint. In doubt, True."""
        ...


class PreFilter(Refuser, Protocol):
    """A rule that no node matters to: where it refuses a pod, all nodes are out."""

    def why_not(self, pod: PodRequest) -> str:
        """Why, in Kubernetes' words; empty if the pod may go on."""
        ...


class FixedFilter(Refuser, Protocol):
    """A filter that looks at fixed properties alone, so that one mask serves all pods with equal constraints."""

    def mask(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Mask:
        """True where the node is acceptable, for each of `rows`."""
        ...

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        """Why, for the rows in `refused` (shape: all rows), counted in Kubernetes' words."""
        ...


class FixedScorer(Protocol):
    """Prefers nodes by their fixed properties alone, so that one score serves all pods with equal constraints."""

    @property
    def name(self) -> str: ...

    def raw(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Score:
        """A number for each of `rows` by its own properties; 0 where it has nothing to say."""
        ...

    def normalised(self, raw: Score) -> Score:
        """0 (worst) to 1 (best) by row from the numbers of all rows, of which one is not 0."""
        ...


class Filter(Refuser, Protocol):
    """A filter that depends on what is placed already."""

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        """True where the node is acceptable; shape [rows]."""
        ...

    def reasons(self, pod: PodRequest, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        """Why, for the rows in `refused`, counted in Kubernetes' words."""
        ...


class Scorer(Protocol):
    """Prefers some acceptable nodes over others."""

    @property
    def name(self) -> str: ...

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        """0 (worst) to 1 (best) by row; shape [rows]. Rows without a node may hold anything in that range."""
        ...


class Reserver(Protocol):
    """Holds something for a pod from when its node is picked: the pod's room itself is counted by the table."""

    @property
    def name(self) -> str: ...

    def reserve(self, pod: PodRequest, node: str) -> bool:
        """Hold it; False if it is not to be had after all."""
        ...

    def give_back(self, pod: PodRequest, node: str) -> None:
        """The pod is not bound after all. Also called where `reserve` said no, or was not reached."""
        ...


class Permit(Protocol):
    """Has a pod whose node is picked wait before it is bound, beside the placing of others."""

    @property
    def name(self) -> str: ...

    async def permit(self, pod: PodRequest, node: str) -> bool:
        """Return once that is decided; False sends the pod back to the queue."""
        ...
