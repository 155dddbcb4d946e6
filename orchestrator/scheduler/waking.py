"""What a pod that did not fit waits for: the changes that the plugins which refused it have declared."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.scheduler.changes import Happened
from orchestrator.scheduler.plugins import Refuser
from orchestrator.scheduler.request import PodRequest
from orchestrator.scheduler.table import NodeTable


@dataclass(frozen=True, slots=True, eq=False)
class WaitsFor:
    """Equal for all pods that ask for the same and were refused by the same plugins, so one answer serves them all."""

    refused_by: tuple[Refuser, ...]
    pod: PodRequest

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WaitsFor):
            return NotImplemented
        mine, theirs = self.pod, other.pod
        same_pods = mine.demand is theirs.demand and mine.labels == theirs.labels
        return same_pods and self.refused_by == other.refused_by

    def __hash__(self) -> int:
        return hash((self.refused_by, self.pod.demand))

    def may_be_over(self, happened: Happened, nodes: NodeTable) -> bool:
        """Whether such a pod should be tried again after what happened."""
        return any(
            happened.change & plugin.wakes_on and plugin.may_help(self.pod, happened, nodes)
            for plugin in self.refused_by
        )
