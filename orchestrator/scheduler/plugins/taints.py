"""Taints and cordons: which nodes keep a pod away, and which would rather not have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from orchestrator.api.views.scheduling import Taint, Toleration
from orchestrator.scheduler.request import Constraints
from orchestrator.scheduler.table import Mask, NodeTable, Score

_UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether one toleration covers one taint (`v1.Toleration.ToleratesTaint`)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.key) and toleration.value == taint.value
    return False


def is_tolerated(taint: Taint, tolerations: Sequence[Toleration]) -> bool:
    """Whether any of the tolerations covers the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


class Schedulable:
    """The node is not cordoned, or the pod tolerates that. (NodeUnschedulable)"""

    name = "NodeUnschedulable"

    def mask(self, constraints: Constraints, nodes: NodeTable) -> Mask:
        if is_tolerated(_UNSCHEDULABLE, constraints.tolerations):
            return np.ones(nodes.rows, dtype=np.bool_)
        open_to_pods: Mask = ~nodes.unschedulable
        return open_to_pods

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) were unschedulable": int(np.count_nonzero(refused))}


class Tolerated:
    """Every NoSchedule and NoExecute taint is tolerated. (TaintToleration)"""

    name = "TaintToleration"

    def mask(self, constraints: Constraints, nodes: NodeTable) -> Mask:
        mask: Mask = np.ones(nodes.rows, dtype=np.bool_)
        tolerated: dict[Taint, bool] = {}
        for row, node in enumerate(nodes.nodes):
            if node is None or not node.spec.taints:
                continue
            for taint in node.spec.taints:
                if taint.effect == "PreferNoSchedule":
                    continue
                if taint not in tolerated:
                    tolerated[taint] = is_tolerated(taint, constraints.tolerations)
                if not tolerated[taint]:
                    mask[row] = False
                    break
        return mask

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) had untolerated taint(s)": int(np.count_nonzero(refused))}


class FewTaints:
    """Prefers nodes with fewer untolerated PreferNoSchedule taints. (TaintToleration's score)"""

    name = "PreferNoSchedule"

    def score(self, constraints: Constraints, nodes: NodeTable) -> Score:
        counts: Score = np.zeros(nodes.rows)
        for row, node in enumerate(nodes.nodes):
            if node is not None and node.spec.taints:
                counts[row] = sum(
                    taint.effect == "PreferNoSchedule" and not is_tolerated(taint, constraints.tolerations)
                    for taint in node.spec.taints
                )
        most = counts.max(initial=0.0)
        score: Score = 1.0 - counts / most if most else np.ones(nodes.rows)
        return score
