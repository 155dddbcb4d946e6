"""What controllers conclude from a pod: whether it is available, and which of several is the least loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from orchestrator.api.numbers import BadNumber, parse_int32
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.moments import seconds_of

#: The annotation by which users say what to delete first; lower goes earlier.
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASE_RANK = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


def ready_since(pod: Pod) -> float | None:
    """When the pod became Ready, or None if it is not."""
    ready = pod.condition("Ready")
    if ready is None or ready.status != "True":
        return None
    return seconds_of(ready.last_transition_time)


def is_available(pod: Pod, *, min_ready_s: float, now: float) -> bool:
    """Whether the pod has been Ready for at least `min_ready_s`."""
    since = ready_since(pod)
    return since is not None and (min_ready_s <= 0 or since + min_ready_s <= now)


def next_availability_s(pods: Iterable[Pod], *, min_ready_s: float, now: float) -> float | None:
    """Seconds until the next of the ready pods becomes available; None if none is on its way."""
    waits = [
        since + min_ready_s - now
        for pod in pods
        if (since := ready_since(pod)) is not None and not is_available(pod, min_ready_s=min_ready_s, now=now)
    ]
    return max(0.05, min(waits)) if waits else None


def cheapest_to_lose(pods: Sequence[Pod], count: int, *, related: Iterable[Pod], now: float) -> tuple[Pod, ...]:
    """The `count` pods whose loss costs least, in Kubernetes' order.

    Not on a node before scheduled, Pending before Unknown before Running, not ready before ready, low deletion cost,
    crowded nodes (counted over `related`, the pods of the whole application), ready for a shorter time, restarted more
    often, younger. Ages compare by powers of two, so that equals are told apart by uid and not by a second.
    """
    crowd = Counter(pod.spec.node_name for pod in related if pod.is_active and pod.spec.node_name)

    def cost_of_loss(pod: Pod) -> tuple[float | int | str, ...]:
        since = ready_since(pod)
        restarts = max((status.restart_count for status in pod.status.container_statuses), default=0)
        return (
            bool(pod.spec.node_name),
            _PHASE_RANK.get(pod.status.phase, 2),
            since is not None,
            _deletion_cost(pod),
            -crowd[pod.spec.node_name] if pod.spec.node_name else 0,
            _age_rank(since, now) if since is not None else 0,
            -restarts,
            _age_rank(seconds_of(pod.metadata.creation_timestamp), now),
            pod.metadata.uid,
        )

    return tuple(sorted(pods, key=cost_of_loss)[: max(count, 0)])


def _age_rank(moment: float, now: float) -> int:
    return int(math.log2(max(now - moment, 1.0)))


def _deletion_cost(pod: Pod) -> int:
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    try:
        return parse_int32(text)
    except BadNumber:
        return 0
