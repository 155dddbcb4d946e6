"""A Deployment's status: counts, availability, and whether the rollout moves, is complete or is stuck."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.api.views.meta import Condition
from orchestrator.api.views.workloads import Deployment, DeploymentStatus, ReplicaSet
from orchestrator.controllers.conditions import condition_of, without_condition
from orchestrator.controllers.deployment.rollout import limits_of
from orchestrator.controllers.moments import seconds_of, text_of

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"

#: Kubernetes' way to say that a rollout has no deadline.
NO_DEADLINE = 2**31 - 1


def counts_of(
    deployment: Deployment, new: ReplicaSet | None, replicasets: Sequence[ReplicaSet], now: float
) -> DeploymentStatus:
    """The counts and the Available condition; the other conditions as they were."""
    available = sum(rs.status.available_replicas for rs in replicasets)
    status = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in replicasets),
        updated_replicas=new.status.replicas if new is not None else 0,
        ready_replicas=sum(rs.status.ready_replicas for rs in replicasets),
        available_replicas=available,
        unavailable_replicas=max(sum(rs.spec.replicas for rs in replicasets) - available, 0),
        terminating_replicas=_terminating(replicasets),
        conditions=deployment.status.conditions,
        collision_count=deployment.status.collision_count,
    )
    if available >= deployment.spec.replicas - limits_of(deployment).unavailable:
        reason, message, verdict = "MinimumReplicasAvailable", "Deployment has minimum availability.", "True"
    else:
        reason, message, verdict = (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            "False",
        )
    return with_progress(status, AVAILABLE, verdict, reason, message, now)


def _terminating(replicasets: Sequence[ReplicaSet]) -> int | None:
    """Pods on their way out; None while one of the ReplicaSets has not said."""
    said = [rs.status.terminating_replicas for rs in replicasets]
    return None if None in said else sum(count or 0 for count in said)


def deadline_of(deployment: Deployment) -> int | None:
    """Seconds that a rollout may stand still before it counts as failed; None: as long as it likes.

    The largest int32 is how a Deployment without a deadline is written, since the field has a default.
    """
    deadline_s = deployment.spec.progress_deadline_seconds
    return None if deadline_s == NO_DEADLINE else deadline_s


def with_progress(
    status: DeploymentStatus, type_: str, verdict: str, reason: str, message: str, now: float, *, moved: bool = False
) -> DeploymentStatus:
    """`status` with a condition set. Unless `moved`, one of the same status and reason stays as it is.

    `lastUpdateTime` is what the progress deadline counts from, so it must not be renewed without progress.
    """
    present = condition_of(status.conditions, type_)
    if present is not None and not moved and (present.status, present.reason) == (verdict, reason):
        return status
    at = text_of(now)
    kept = present.last_transition_time if present is not None and present.status == verdict else at
    wanted = Condition(
        type=type_, status=verdict, reason=reason, message=message, last_transition_time=kept, last_update_time=at
    )
    if present is None:
        conditions: tuple[Condition, ...] = (*status.conditions, wanted)
    else:
        conditions = tuple(wanted if condition.type == type_ else condition for condition in status.conditions)
    return msgspec.structs.replace(status, conditions=conditions)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether every pod is of the newest template and available, and no old one is left."""
    wanted = deployment.spec.replicas
    return (
        status.updated_replicas == wanted
        and status.replicas == wanted
        and status.available_replicas == wanted
        and status.observed_generation >= deployment.metadata.generation
    )


def has_moved(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    """Whether the rollout came further: more updated, ready or available pods, or fewer old ones."""
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def is_timed_out(deployment: Deployment, status: DeploymentStatus, now: float) -> bool:
    """Whether nothing has moved for the progress deadline."""
    deadline_s = deadline_of(deployment)
    condition = condition_of(status.conditions, PROGRESSING)
    if deadline_s is None or condition is None or condition.reason == "NewReplicaSetAvailable":
        return False
    if condition.reason == "ProgressDeadlineExceeded":
        return True
    return seconds_of(condition.last_update_time) + deadline_s < now


def rollout_status(
    deployment: Deployment, new: ReplicaSet | None, replicasets: Sequence[ReplicaSet], now: float
) -> DeploymentStatus:
    """The whole status of a Deployment that is being rolled out, or has been."""
    status = counts_of(deployment, new, replicasets, now)
    if deadline_of(deployment) is None:
        status = msgspec.structs.replace(status, conditions=without_condition(status.conditions, PROGRESSING))
        return _with_failure(status, new, replicasets)
    present = condition_of(status.conditions, PROGRESSING)
    settled = (
        present is not None
        and present.reason == "NewReplicaSetAvailable"
        and status.replicas == status.updated_replicas
    )
    subject = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{deployment.metadata.name}"'
    if not settled:
        if is_complete(deployment, status):
            message = f"{subject} has successfully progressed."
            status = with_progress(status, PROGRESSING, "True", "NewReplicaSetAvailable", message, now)
        elif has_moved(deployment.status, status):
            message = f"{subject} is progressing."
            status = with_progress(status, PROGRESSING, "True", "ReplicaSetUpdated", message, now, moved=True)
        elif is_timed_out(deployment, status, now):
            message = f"{subject} has timed out progressing."
            status = with_progress(status, PROGRESSING, "False", "ProgressDeadlineExceeded", message, now)
        elif present is None and new is not None:
            message = f'Found new replica set "{new.metadata.name}"'
            status = with_progress(status, PROGRESSING, "True", "FoundNewReplicaSet", message, now)
    return _with_failure(status, new, replicasets)


def paused_status(
    deployment: Deployment, new: ReplicaSet | None, replicasets: Sequence[ReplicaSet], now: float
) -> DeploymentStatus:
    """The status of a Deployment that is paused or being rescaled: counts, and no verdict on progress."""
    return counts_of(deployment, new, replicasets, now)


def look_again_s(deployment: Deployment, status: DeploymentStatus, now: float) -> float | None:
    """Seconds until the progress deadline may have passed; None if nothing runs against it."""
    deadline_s = deadline_of(deployment)
    condition = condition_of(status.conditions, PROGRESSING)
    if deadline_s is None or condition is None or is_complete(deployment, status):
        return None
    if condition.reason in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded", "DeploymentPaused"):
        return None
    # A second more, because the timestamps have whole seconds.
    return max(seconds_of(condition.last_update_time) + deadline_s - now, 0.0) + 1.0


def _with_failure(
    status: DeploymentStatus, new: ReplicaSet | None, replicasets: Sequence[ReplicaSet]
) -> DeploymentStatus:
    # The newest ReplicaSet's failure is what the user asked about; an old one's is told only if there is no other.
    ordered = ([new] if new is not None else []) + [rs for rs in replicasets if rs is not new]
    failures = [
        failure for rs in ordered if (failure := condition_of(rs.status.conditions, REPLICA_FAILURE)) is not None
    ]
    others = without_condition(status.conditions, REPLICA_FAILURE)
    if not failures:
        return msgspec.structs.replace(status, conditions=others)
    copied = msgspec.structs.replace(failures[0], last_update_time=failures[0].last_transition_time)
    return msgspec.structs.replace(status, conditions=(*others, copied))
