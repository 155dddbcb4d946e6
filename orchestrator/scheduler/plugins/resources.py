"""Resources: what fits, and which node keeps the most free."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchestrator.scheduler.request import CPU, MEMORY, PODS, PodRequest
from orchestrator.scheduler.table import Amounts, Mask, NodeTable, Score


class Fits:
    """Every requested amount is free. (NodeResourcesFit)"""

    name = "NodeResourcesFit"

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        fits: Mask = np.ones(nodes.rows, dtype=np.bool_)
        for resource, wanted in pod.amounts.items():
            fits &= nodes.free(resource) >= wanted
        return fits

    def reasons(self, pod: PodRequest, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        counted: dict[str, int] = {}
        for resource, wanted in pod.amounts.items():
            short = int(np.count_nonzero(refused & (nodes.free(resource) < wanted)))
            if short:
                counted["Too many pods" if resource == PODS else f"Insufficient {resource}"] = short
        return counted


class LeastAllocated:
    """Prefers the node with the largest free share of cpu and memory. (NodeResourcesFit, LeastAllocated strategy)"""

    name = "LeastAllocated"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        cpu = _free_share(nodes.allocatable[CPU], nodes.scored_cpu + pod.scored_cpu_milli)
        memory = _free_share(nodes.allocatable[MEMORY], nodes.scored_memory + pod.scored_memory_bytes)
        mean: Score = (cpu + memory) / 2
        return mean


class Balanced:
    """Prefers the node whose cpu and memory would be used to like shares. (NodeResourcesBalancedAllocation)"""

    name = "BalancedAllocation"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        cpu = _free_share(nodes.allocatable[CPU], nodes.scored_cpu + pod.scored_cpu_milli)
        memory = _free_share(nodes.allocatable[MEMORY], nodes.scored_memory + pod.scored_memory_bytes)
        # Of two shares the standard deviation is half their distance.
        balance: Score = 1.0 - np.abs(cpu - memory) / 2
        return balance


def _free_share(allocatable: Amounts, used: Amounts) -> Score:
    share: Score = 1.0 - used / np.maximum(allocatable, 1)
    return np.clip(share, 0.0, 1.0)
