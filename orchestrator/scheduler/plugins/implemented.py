"""Demands that nothing implements: the pod waits, whatever nodes there are."""

from __future__ import annotations

from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.request import PodRequest
from orchestrator.scheduler.table import NodeTable


class Implemented:
    """Everything that the pod insists on can be held here at all."""

    name = "Implemented"
    wakes_on = Change.NOTHING

    def why_not(self, pod: PodRequest) -> str:
        return ", ".join(pod.demand.unheld)

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        return False
