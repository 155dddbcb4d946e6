"""When a pod must leave a tainted node: at once, after its toleration's seconds, or never."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.api.views.cluster import Taint
from orchestrator.api.views.workloads import Toleration
from orchestrator.controllers.moments import seconds_of

NEVER = math.inf


def evict_at(tolerations: Sequence[Toleration], taints: Sequence[Taint]) -> float:
    """The moment at which a pod with these tolerations has to go from a node with these taints; `NEVER` if it may stay.

    Each NoExecute taint must be tolerated, or the pod goes at once; of several limited tolerations the shortest counts.
    """
    earliest = NEVER
    for taint in taints:
        if taint.effect != "NoExecute":
            continue
        matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not matching:
            return 0.0
        limits = [t.toleration_seconds for t in matching if t.toleration_seconds is not None]
        if limits:
            earliest = min(earliest, seconds_of(taint.time_added) + max(min(limits), 0))
    return earliest


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether the toleration covers the taint: effect, key and value, each of which may be left open."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value
