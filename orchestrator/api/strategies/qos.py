"""The quality-of-service class of a pod, from its containers' requests and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api import quantities

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"
_COMPUTE = ("cpu", "memory")


def qos_class(spec: Mapping[str, Any]) -> str:
    """`Guaranteed` if every container's cpu and memory limits equal its requests, `BestEffort` if none has either."""
    pod_level = spec.get("resources")
    if pod_level and (pod_level.get("requests") or pod_level.get("limits")):
        return _class_of((pod_level,))
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return _class_of([container.get("resources") or {} for container in containers])


def _class_of(all_resources: tuple[Mapping[str, Any], ...] | list[Mapping[str, Any]]) -> str:
    asks = False
    guaranteed = True
    for resources in all_resources:
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in _COMPUTE:
            request, limit = requests.get(name), limits.get(name)
            request_set, limit_set = _is_positive(request), _is_positive(limit)
            asks = asks or request_set or limit_set
            # A request that is not there is the limit: that is how a pod is defaulted.
            same = request is None or request == limit or _same(request, limit)
            guaranteed = guaranteed and limit_set and same
    if not asks:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def _is_positive(value: Any) -> bool:
    # The class is computed before validation, so a value may still be no quantity at all.
    try:
        return value is not None and quantities.parse(value).nano > 0
    except quantities.BadQuantity:
        return False


def _same(one: Any, other: Any) -> bool:
    try:
        return other is not None and quantities.compare(one, other) == 0
    except quantities.BadQuantity:
        return False
