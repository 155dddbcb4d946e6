"""Resources: what fits, and which node keeps the most free."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.columns import Mask, Score
from orchestrator.scheduler.request import PODS, PodRequest
from orchestrator.scheduler.table import NodeTable


class Fits:
    """Every requested amount is free. (NodeResourcesFit)"""

    name = "NodeResourcesFit"
    wakes_on = Change.NODE_ADDED | Change.NODE_ALLOCATABLE | Change.POD_WENT

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        fits: Mask = np.ones(nodes.rows, dtype=np.bool_)
        for resource, wanted in pod.demand.amounts.items():
            fits &= nodes.free(resource) >= wanted
        return fits

    def reasons(self, pod: PodRequest, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        counted: dict[str, int] = {}
        for resource, wanted in pod.demand.amounts.items():
            short = int(np.count_nonzero(refused & (nodes.free(resource) < wanted)))
            if short:
                counted["Too many pods" if resource == PODS else f"Insufficient {resource}"] = short
        return counted

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        row = happened.row
        return row is not None and all(
            nodes.free_on(row, resource) >= wanted for resource, wanted in pod.demand.amounts.items()
        )


class LeastAllocated:
    """Prefers the node with the largest free share of cpu and memory. (NodeResourcesFit, LeastAllocated strategy)"""

    name = "LeastAllocated"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        mean = _free_share(nodes.scored_cpu.shown, pod.demand.scored_cpu_milli, nodes.inverse_cpu)
        mean += _free_share(nodes.scored_memory.shown, pod.demand.scored_memory_bytes, nodes.inverse_memory)
        mean *= 0.5
        return mean


class Balanced:
    """Prefers the node whose cpu and memory would be used to like shares. (NodeResourcesBalancedAllocation)"""

    name = "BalancedAllocation"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        distance = _free_share(nodes.scored_cpu.shown, pod.demand.scored_cpu_milli, nodes.inverse_cpu)
        distance -= _free_share(nodes.scored_memory.shown, pod.demand.scored_memory_bytes, nodes.inverse_memory)
        np.abs(distance, out=distance)
        # Of two shares the standard deviation is half their distance.
        distance *= -0.5
        distance += 1.0
        return distance


def _free_share(used: Score, wanted: int, inverse: Score) -> Score:
    """What would be left, as a share of the whole. In place, because five thousand rows are wider than the cache."""
    share: Score = used + wanted
    share *= inverse
    np.subtract(1.0, share, out=share)
    return np.maximum(share, 0.0, out=share)
