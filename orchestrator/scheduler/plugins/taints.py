"""Taints and cordons: which nodes keep a pod away, and which would rather not have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from orchestrator.api.views.scheduling import Taint, Toleration
from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.columns import Mask, Rows, Score
from orchestrator.scheduler.request import Constraints, PodRequest
from orchestrator.scheduler.table import NodeTable

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
    wakes_on = Change.NODE_ADDED | Change.NODE_TAINTS

    def mask(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Mask:
        if is_tolerated(_UNSCHEDULABLE, constraints.tolerations):
            return np.ones(len(rows), dtype=np.bool_)
        open_to_pods: Mask = ~nodes.unschedulable[rows]
        return open_to_pods

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) were unschedulable": int(np.count_nonzero(refused))}

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        row = happened.row
        return row is not None and bool(self.mask(pod.demand.constraints, nodes, np.array([row]))[0])


class Tolerated:
    """Every NoSchedule and NoExecute taint is tolerated. (TaintToleration)"""

    name = "TaintToleration"
    wakes_on = Change.NODE_ADDED | Change.NODE_TAINTS

    def mask(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Mask:
        def lets_in(taints: tuple[Taint, ...] | None) -> bool:
            return all(
                taint.effect == "PreferNoSchedule" or is_tolerated(taint, constraints.tolerations)
                for taint in taints or ()
            )

        return nodes.taints.holds(rows, lets_in)

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) had untolerated taint(s)": int(np.count_nonzero(refused))}

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        row = happened.row
        return row is not None and bool(self.mask(pod.demand.constraints, nodes, np.array([row]))[0])


class FewTaints:
    """Prefers nodes with fewer untolerated PreferNoSchedule taints. (TaintToleration's score)"""

    name = "PreferNoSchedule"

    def raw(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Score:
        def unwelcome(taints: tuple[Taint, ...] | None) -> float:
            return sum(
                taint.effect == "PreferNoSchedule" and not is_tolerated(taint, constraints.tolerations)
                for taint in taints or ()
            )

        return nodes.taints.numbers(rows, unwelcome)

    def normalised(self, raw: Score) -> Score:
        fewer: Score = 1.0 - raw / raw.max()
        return fewer
