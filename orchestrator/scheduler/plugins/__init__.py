"""Stateless rules over the node arrays: filters give a mask and their reasons, scorers give 0..1 a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.scheduler.request import Constraints, PodRequest
from orchestrator.scheduler.table import Mask, NodeTable, Score


class PreFilter(Protocol):
    """A rule that no node matters to: where it refuses a pod, all nodes are out."""

    name: str

    def why_not(self, pod: PodRequest) -> str:
        """Why, in Kubernetes' words; empty if the pod may go on."""
        ...


class FixedFilter(Protocol):
    """A filter that looks at fixed properties alone, so that one mask serves all pods with equal constraints."""

    name: str

    def mask(self, constraints: Constraints, nodes: NodeTable) -> Mask:
        """True where the node is acceptable; shape [rows]."""
        ...

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        """Why, for the rows in `refused`, counted in Kubernetes' words."""
        ...


class FixedScorer(Protocol):
    """Prefers nodes by their fixed properties alone, so that one score serves all pods with equal constraints."""

    name: str

    def score(self, constraints: Constraints, nodes: NodeTable) -> Score:
        """0 (worst) to 1 (best) by row; shape [rows]."""
        ...


class Filter(Protocol):
    """A filter that depends on what is placed already."""

    name: str

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        """True where the node is acceptable; shape [rows]."""
        ...

    def reasons(self, pod: PodRequest, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        """Why, for the rows in `refused`, counted in Kubernetes' words."""
        ...


class Scorer(Protocol):
    """Prefers some acceptable nodes over others."""

    name: str

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        """0 (worst) to 1 (best) by row; shape [rows]. Rows without a node may hold anything in that range."""
        ...
