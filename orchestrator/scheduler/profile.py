"""Which plugins place a pod, in which order, with which weights."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.scheduler.plugins import (
    Filter,
    FixedFilter,
    FixedScorer,
    Permit,
    PreFilter,
    Reserver,
    Scorer,
)
from orchestrator.scheduler.plugins.affinity import Preferred, Selected
from orchestrator.scheduler.plugins.implemented import Implemented
from orchestrator.scheduler.plugins.ports import PortsFree
from orchestrator.scheduler.plugins.resources import Balanced, Fits, LeastAllocated
from orchestrator.scheduler.plugins.spread import Spread
from orchestrator.scheduler.plugins.taints import FewTaints, Schedulable, Tolerated


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Filters in order (a node is counted under the first that refuses it), and scorers with their weights.

    Reservers and permits come after a node was picked, in order.
    """

    pre_filters: tuple[PreFilter, ...]
    fixed_filters: tuple[FixedFilter, ...]
    filters: tuple[Filter, ...]
    fixed_scorers: tuple[tuple[FixedScorer, float], ...]
    scorers: tuple[tuple[Scorer, float], ...]
    reservers: tuple[Reserver, ...] = ()
    permits: tuple[Permit, ...] = ()


#: Order and weights are those of Kubernetes' default profile (pkg/scheduler/apis/config/v1/default_plugins.go).
DEFAULT_PROFILE = Profile(
    pre_filters=(Implemented(),),
    fixed_filters=(Schedulable(), Tolerated(), Selected()),
    filters=(PortsFree(), Fits()),
    fixed_scorers=((FewTaints(), 3.0), (Preferred(), 2.0)),
    scorers=((LeastAllocated(), 1.0), (Balanced(), 1.0), (Spread(), 2.0)),
)
