"""Demands that nothing implements: the pod waits, whatever nodes there are."""

from __future__ import annotations

from orchestrator.scheduler.request import PodRequest


class Implemented:
    """Everything that the pod insists on can be held here at all."""

    name = "Implemented"

    def why_not(self, pod: PodRequest) -> str:
        return ", ".join(pod.unheld)
