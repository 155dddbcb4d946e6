"""Spreading: pods of one owner go to different nodes and zones, where that is possible."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from orchestrator.scheduler.columns import Score
from orchestrator.scheduler.request import PodRequest
from orchestrator.scheduler.table import NodeTable

# Owners whose pods are being placed at the same time; 40 kB each with 5,000 nodes.
_DENSE_OWNERS_MAX = 64
_ZONE = "topology.kubernetes.io/zone"


class OwnerCounts:
    """Pods by owner and row: sparse for all owners, and dense for those that are being placed."""

    def __init__(self) -> None:
        self._sparse: dict[str, dict[int, int]] = {}
        self._dense: OrderedDict[str, Score] = OrderedDict()

    def came(self, pod: PodRequest, row: int) -> None:
        if owner := pod.demand.owner:
            by_row = self._sparse.setdefault(owner, {})
            by_row[row] = by_row.get(row, 0) + 1
            self._bump_dense(owner, row, 1)

    def went(self, pod: PodRequest, row: int) -> None:
        if owner := pod.demand.owner:
            by_row = self._sparse[owner]
            by_row[row] -= 1
            self._bump_dense(owner, row, -1)
            if not by_row[row]:
                del by_row[row]
            if not by_row:
                del self._sparse[owner]
                self._dense.pop(owner, None)

    def by_row(self, owner: str, rows: int) -> Score | None:
        """The counts as an array of length `rows`; None if the owner has no pods. Do not write to it."""
        sparse = self._sparse.get(owner)
        if sparse is None:
            return None
        dense = self._dense.get(owner)
        if dense is None or dense.size != rows:
            dense = self._dense[owner] = np.zeros(rows)
            dense[list(sparse)] = list(sparse.values())
            if len(self._dense) > _DENSE_OWNERS_MAX:
                self._dense.popitem(last=False)
        return dense

    def _bump_dense(self, owner: str, row: int, by: int) -> None:
        dense = self._dense.get(owner)
        if dense is not None and row < dense.size:
            dense[row] += by


class Spread:
    """Prefers nodes, and zones, with fewer pods of the same owner. (PodTopologySpread's default constraints)"""

    name = "Spread"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        counts = nodes.tally(OwnerCounts)
        on_node = counts.by_row(pod.demand.owner, nodes.rows) if pod.demand.owner else None
        if on_node is None:
            return np.ones(nodes.rows)
        score: Score = on_node * (-0.5 / on_node.max())
        zone = nodes.label(_ZONE)
        if zone.count > 1:
            by_zone = np.bincount(zone.by_row, weights=on_node, minlength=zone.count)
            # Nodes without a zone label share number 0, and are no place together: for them it says nothing.
            by_zone[0] = 0.0
            score -= (by_zone * (0.5 / max(by_zone.max(), 1.0)))[zone.by_row]
        score += 1.0
        return score
