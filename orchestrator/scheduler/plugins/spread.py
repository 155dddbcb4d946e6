"""Spreading: pods of one owner go to different nodes and zones, where that is possible."""

from __future__ import annotations

import numpy as np

from orchestrator.scheduler.request import PodRequest
from orchestrator.scheduler.table import NodeTable, Score


class Spread:
    """Prefers nodes, and zones, with fewer pods of the same owner. (PodTopologySpread's default constraints)"""

    name = "Spread"

    def score(self, pod: PodRequest, nodes: NodeTable) -> Score:
        on_node = nodes.pods_of_owner(pod.owner) if pod.owner else None
        if on_node is None:
            return np.ones(nodes.rows)
        score: Score = on_node * (-0.5 / on_node.max())
        if nodes.zone_count > 1:
            by_zone = np.bincount(nodes.zone, weights=on_node, minlength=nodes.zone_count)
            # Nodes without a zone label share number 0, and are no place together: for them it says nothing.
            by_zone[0] = 0.0
            score -= (by_zone * (0.5 / max(by_zone.max(), 1.0)))[nodes.zone]
        score += 1.0
        return score
