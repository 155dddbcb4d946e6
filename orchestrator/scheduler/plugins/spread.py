"""Spreading: pods of one owner go to different nodes and zones, where that is possible."""

from __future__ import annotations

import numpy as np

from orchestrator.scheduler.request import PodRequest
from orchestrator.scheduler.table import NodeTable, Score


class Spread:
    """Prefers nodes, and zones, with fewer pods of the same owner. (PodTopologySpread's default constraints)"""

    name = "Spread"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        by_row = nodes.pods_of_owner(pod.owner) if pod.owner else {}
        if not by_row:
            return np.ones(nodes.rows)
        on_node: Score = np.zeros(nodes.rows)
        rows = np.fromiter(by_row.keys(), dtype=np.int64, count=len(by_row))
        on_node[rows] = np.fromiter(by_row.values(), dtype=np.int64, count=len(by_row))
        by_zone: Score = np.bincount(nodes.zone, weights=on_node).astype(np.float64)
        in_zone: Score = by_zone[nodes.zone]
        # Nodes without a zone label share zone 0: they do not count as one place.
        in_zone[nodes.zone == 0] = on_node[nodes.zone == 0]
        score: Score = 1.0 - (on_node / on_node.max() + in_zone / max(in_zone.max(), 1.0)) / 2
        return score
