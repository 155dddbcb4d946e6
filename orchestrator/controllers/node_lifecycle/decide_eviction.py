"""When a pod must leave a tainted node: at once, after its toleration's seconds, or never."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from orchestrator.api.views.cluster import Taint
from orchestrator.api.views.workloads import Pod, Toleration
from orchestrator.controllers.moments import seconds_of

NEVER = math.inf


def evict_at(tolerations: Sequence[Toleration], taints: Mapping[Taint, float], *, bound_at: float) -> float:
    """The moment at which a pod with these tolerations has to go from a node with these taints; `NEVER` if it may stay.

    `taints` says since when (seconds) each is on the node; `bound_at` since when the pod is: no toleration counts from
    before both are. Each NoExecute taint must be tolerated, or the pod goes at once. For each the first toleration that
    matches is the one that counts, and of these the one that ends first; 0 seconds and less are at once.
    """
    earliest = NEVER
    for taint, since in taints.items():
        if taint.effect != "NoExecute":
            continue
        used = next((toleration for toleration in tolerations if tolerates(toleration, taint)), None)
        if used is None:
            return 0.0
        if used.toleration_seconds is None:
            continue
        if used.toleration_seconds <= 0:
            return 0.0
        earliest = min(earliest, max(since, bound_at) + used.toleration_seconds)
    return earliest


def since(taints: Sequence[Taint], known: Mapping[Taint, float], *, now: float) -> dict[Taint, float]:
    """Since when (seconds) each NoExecute taint is on a node: when it says, or when it was first seen there.

    `known` is what this gave before. A moment yet to come is not believed.
    """
    return {
        taint: known[taint] if taint in known else min(seconds_of(taint.time_added), now) or now
        for taint in taints
        if taint.effect == "NoExecute"
    }


def bound_at(pod: Pod) -> float:
    """Since when (seconds) the pod is on its node, or, where nobody says, at all."""
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "True" and scheduled.last_transition_time:
        return seconds_of(scheduled.last_transition_time)
    return seconds_of(pod.metadata.creation_timestamp)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether the toleration covers the taint: effect, key and value, each of which may be left open."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value
