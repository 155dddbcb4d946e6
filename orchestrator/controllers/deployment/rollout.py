"""The arithmetic of rollouts: how far each ReplicaSet may grow or shrink. Kubernetes' rules, on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.api.numbers import BadNumber, parse_int64, saturated_int32
from orchestrator.api.views.workloads import Deployment, ReplicaSet

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods more, and how many available ones less, than wanted."""

    surge: int
    unavailable: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Set a ReplicaSet's size."""

    rs: ReplicaSet
    replicas: int


def limits_of(deployment: Deployment) -> Limits:
    """Resolve percentages: surge rounds up, unavailable rounds down, and not both are zero."""
    replicas = deployment.spec.replicas
    if deployment.spec.strategy.type == "Recreate":
        return Limits(0, 0)
    rolling = deployment.spec.strategy.rolling_update
    surge = _resolved(rolling.max_surge if rolling else "25%", replicas, up=True)
    unavailable = _resolved(rolling.max_unavailable if rolling else "25%", replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(surge, min(unavailable, replicas))


def _resolved(value: int | str, total: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = saturated_int32(value.removesuffix("%")) * total
    return -(-share // 100) if up else share // 100


def revision_of(rs: ReplicaSet) -> int:
    """The number that `rollout history` shows; 0 where there is none."""
    return _number(rs.metadata.annotations.get(REVISION), 0)


def oldest_first(replicasets: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """In order of creation, then name."""
    return sorted(replicasets, key=lambda rs: (rs.metadata.creation_timestamp, rs.metadata.name))


def grown_size(deployment: Deployment, replicasets: Sequence[ReplicaSet], new_replicas: int) -> int:
    """How large the newest ReplicaSet may be at this moment, `new_replicas` being its size."""
    wanted = deployment.spec.replicas
    if deployment.spec.strategy.type == "Recreate":
        return wanted
    total_max = wanted + limits_of(deployment).surge
    present = sum(rs.spec.replicas for rs in replicasets)
    if present >= total_max:
        return new_replicas
    return new_replicas + min(total_max - present, wanted - new_replicas)


def grow_new(deployment: Deployment, new: ReplicaSet, replicasets: Sequence[ReplicaSet]) -> tuple[Scale, ...]:
    """Bring the newest ReplicaSet nearer to the wanted size."""
    wanted = deployment.spec.replicas
    size = wanted if new.spec.replicas > wanted else grown_size(deployment, replicasets, new.spec.replicas)
    return (Scale(new, size),) if size != new.spec.replicas else ()


def shrink_old(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> tuple[Scale, ...]:
    """Shrink the older ReplicaSets as far as availability allows: their unavailable pods first, then the oldest."""
    active = [rs for rs in oldest_first(old) if rs.spec.replicas > 0]
    if not active:
        return ()
    available_min = deployment.spec.replicas - limits_of(deployment).unavailable
    total = sum(rs.spec.replicas for rs in (new, *active))
    new_unavailable = new.spec.replicas - new.status.available_replicas
    may_go = total - available_min - new_unavailable
    if may_go <= 0:
        return ()

    sizes = {rs.metadata.uid: rs.spec.replicas for rs in active}
    for rs in active:
        unhealthy = max(rs.spec.replicas - rs.status.available_replicas, 0)
        step = min(unhealthy, may_go)
        sizes[rs.metadata.uid] -= step
        may_go -= step

    spare = sum(rs.status.available_replicas for rs in (new, *active)) - available_min
    for rs in active:
        step = min(sizes[rs.metadata.uid], max(spare, 0), max(may_go, 0))
        sizes[rs.metadata.uid] -= step
        spare -= step
        may_go -= step
    return tuple(Scale(rs, sizes[rs.metadata.uid]) for rs in active if sizes[rs.metadata.uid] != rs.spec.replicas)


def is_saturated(deployment: Deployment, new: ReplicaSet | None) -> bool:
    """Whether the newest ReplicaSet alone is all that is wanted."""
    if new is None:
        return False
    wanted = deployment.spec.replicas
    desired = _number(new.metadata.annotations.get(DESIRED), -1)
    return new.spec.replicas == wanted and desired == wanted and new.status.available_replicas == wanted


def rescaled(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> tuple[Scale, ...]:
    """Carry a changed replica count over to the ReplicaSets: to the only active one, or in proportion."""
    every = [*old, new] if new is not None else list(old)
    active = [rs for rs in every if rs.spec.replicas > 0]
    if len(active) <= 1:
        latest = max(old, key=lambda rs: (rs.metadata.creation_timestamp, rs.metadata.name), default=None)
        only = active[0] if active else (new or latest)
        if only is None or only.spec.replicas == deployment.spec.replicas:
            return ()
        return (Scale(only, deployment.spec.replicas),)
    if is_saturated(deployment, new):
        return tuple(Scale(rs, 0) for rs in active if rs is not new)
    if deployment.spec.strategy.type == "Recreate":
        return ()
    return _in_proportion(deployment, active)


def _in_proportion(deployment: Deployment, active: Sequence[ReplicaSet]) -> tuple[Scale, ...]:
    wanted = deployment.spec.replicas
    allowed = wanted + limits_of(deployment).surge if wanted > 0 else 0
    to_add = allowed - sum(rs.spec.replicas for rs in active)
    # Equal sizes: the newer one gains first, the older one loses first.
    ordered = oldest_first(active)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=lambda rs: -rs.spec.replicas)

    sizes: dict[str, int] = {}
    added = 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added) if to_add else 0
        sizes[rs.metadata.uid] = rs.spec.replicas + share
        added += share
    first = ordered[0].metadata.uid
    sizes[first] = max(sizes[first] + to_add - added, 0)
    return tuple(Scale(rs, sizes[rs.metadata.uid]) for rs in ordered if sizes[rs.metadata.uid] != rs.spec.replicas)


def _share(deployment: Deployment, rs: ReplicaSet, to_add: int, added: int) -> int:
    left = to_add - added
    if rs.spec.replicas == 0 or left == 0:
        return 0
    if deployment.spec.replicas == 0:
        fraction = -rs.spec.replicas
    else:
        total = deployment.spec.replicas + limits_of(deployment).surge
        before = _number(rs.metadata.annotations.get(MAX_REPLICAS), deployment.status.replicas) or total
        exact = rs.spec.replicas * total / before
        fraction = math.floor(exact + 0.5) - rs.spec.replicas
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def needs_rescaling(deployment: Deployment, replicasets: Sequence[ReplicaSet]) -> bool:
    """Whether an active ReplicaSet was last sized for another replica count."""
    wanted = deployment.spec.replicas
    return any(
        rs.spec.replicas > 0 and _number(rs.metadata.annotations.get(DESIRED), wanted) != wanted for rs in replicasets
    )


def expendable(deployment: Deployment, old: Sequence[ReplicaSet]) -> tuple[ReplicaSet, ...]:
    """The old ReplicaSets beyond the history limit, oldest revision first, but for those that may still have pods."""
    limit = deployment.spec.revision_history_limit
    if limit is None:
        return ()
    kept = [rs for rs in old if rs.metadata.deletion_timestamp is None]
    kept.sort(key=lambda rs: (revision_of(rs), rs.metadata.creation_timestamp, rs.metadata.name))
    return tuple(rs for rs in kept[: max(len(kept) - limit, 0)] if _is_empty(rs))


def _is_empty(rs: ReplicaSet) -> bool:
    """Whether it wants no pods and, having seen that, says that it has none."""
    seen = rs.metadata.generation <= rs.status.observed_generation
    return seen and rs.spec.replicas == 0 and rs.status.replicas == 0


def _number(text: str | None, default: int) -> int:
    try:
        return parse_int64(text) if text is not None else default
    except BadNumber:
        return default
