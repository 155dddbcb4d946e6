"""Decides the next step of a Deployment: which ReplicaSets to make, size, mark and drop, and what to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object
from orchestrator.api.views.workloads import Deployment, DeploymentStatus, Pod, ReplicaSet
from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.deployment.progress import (
    PROGRESSING,
    deadline_of,
    paused_status,
    rollout_status,
    with_progress,
)
from orchestrator.controllers.deployment.rollout import (
    DESIRED,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    Scale,
    expendable,
    grow_new,
    grown_size,
    limits_of,
    needs_rescaling,
    rescaled,
    revision_of,
    shrink_old,
)
from orchestrator.controllers.ownership import claim
from orchestrator.controllers.templates import same_template, short_hash

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_COPIED = {_LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX_REPLICAS, "deprecated.deployment.rollback.to"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReplicaSet:
    """A ReplicaSet to create for the template. `hash` is the pod-template-hash."""

    name: str
    hash: str
    replicas: int
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """Annotations (None: remove) and minReadySeconds that a ReplicaSet should have."""

    rs: ReplicaSet
    annotations: Mapping[str, str | None]
    min_ready_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One step. The fields are carried out in this order; whatever is written brings the next sync."""

    adopt: tuple[ReplicaSet, ...] = ()
    release: tuple[ReplicaSet, ...] = ()
    marks: tuple[Mark, ...] = ()
    revision: str | None = None
    create: NewReplicaSet | None = None
    scale: tuple[Scale, ...] = ()
    delete: tuple[ReplicaSet, ...] = ()
    status: DeploymentStatus | None = None
    why: str = "as wanted"


def decide(
    deployment: Deployment, candidates: Sequence[ReplicaSet], pods: Mapping[str, Sequence[Pod]], now: float
) -> Decision:
    """The next step of one Deployment.

    `candidates` are the ReplicaSets it controls and the namespace's ReplicaSets without a controller; `pods` the pods
    by the uid of their ReplicaSet.
    """
    claimed = claim(deployment.metadata, deployment.spec.selector, candidates)
    owned = claimed.owned
    template = decode(bytes(deployment.spec.template))
    new = newest_of(template, owned)
    old = tuple(rs for rs in owned if rs is not new)
    if deployment.metadata.deletion_timestamp is not None:
        return Decision(status=paused_status(deployment, new, owned, now), why="being deleted")
    if claimed.adopt or claimed.release:
        why = f"{len(claimed.adopt)} replica sets to adopt, {len(claimed.release)} to release"
        return Decision(adopt=claimed.adopt, release=claimed.release, why=why)

    deployment = _with_pause_noted(deployment, now)
    if new is not None and (marks := _marks(deployment, new, old)):
        return Decision(marks=marks, why=f"replica set {new.metadata.name} to mark")
    revision = new.metadata.annotations.get(REVISION) if new is not None else None
    if revision == deployment.metadata.annotations.get(REVISION):
        revision = None

    if deployment.spec.paused or needs_rescaling(deployment, owned):
        scale = (*rescaled(deployment, new, old), *_resized_notes(deployment, new, old))
        delete = expendable(deployment, old) if deployment.spec.paused and not scale else ()
        status = paused_status(deployment, new, owned, now)
        return Decision(revision=revision, scale=scale, delete=delete, status=status, why="rescaling")
    if deployment.spec.strategy.type == "Recreate":
        return _recreate(deployment, template, new, old, pods, revision, now)
    return _roll(deployment, template, new, old, revision, now)


def newest_of(template: Object, replicasets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The ReplicaSet that has the template; the oldest of several, so that all who ask agree."""
    ordered = sorted(replicasets, key=lambda rs: (rs.metadata.creation_timestamp, rs.metadata.name))
    return next((rs for rs in ordered if same_template(decode(bytes(rs.spec.template)), template)), None)


def new_replicaset(
    deployment: Deployment, template: Object, old: Sequence[ReplicaSet], *, replicas: int
) -> NewReplicaSet:
    """The ReplicaSet to create: its name carries the template's hash, its annotations the revision."""
    digest = short_hash(template, collisions=deployment.status.collision_count)
    revision = max((revision_of(rs) for rs in old), default=0) + 1
    annotations = {
        **{key: value for key, value in deployment.metadata.annotations.items() if key not in _NOT_COPIED},
        REVISION: str(revision),
        **size_annotations(deployment),
    }
    return NewReplicaSet(
        name=f"{deployment.metadata.name}-{digest}", hash=digest, replicas=replicas, annotations=annotations
    )


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """What a ReplicaSet remembers of the Deployment's size, for scaling in proportion later."""
    wanted = deployment.spec.replicas
    return {DESIRED: str(wanted), MAX_REPLICAS: str(wanted + limits_of(deployment).surge)}


def _roll(
    deployment: Deployment,
    template: Object,
    new: ReplicaSet | None,
    old: tuple[ReplicaSet, ...],
    revision: str | None,
    now: float,
) -> Decision:
    every = (*old, new) if new is not None else old
    status = rollout_status(deployment, new, every, now)
    if new is None:
        made = new_replicaset(deployment, template, old, replicas=grown_size(deployment, old, 0))
        return Decision(create=made, status=_creating(deployment, status, made, now), why="new template")
    if scale := grow_new(deployment, new, every):
        return Decision(revision=revision, scale=scale, status=status, why="growing the new replica set")
    if scale := shrink_old(deployment, new, old):
        return Decision(revision=revision, scale=scale, status=status, why="shrinking old replica sets")
    return _settled(deployment, old, revision, status)


def _recreate(
    deployment: Deployment,
    template: Object,
    new: ReplicaSet | None,
    old: tuple[ReplicaSet, ...],
    pods: Mapping[str, Sequence[Pod]],
    revision: str | None,
    now: float,
) -> Decision:
    every = (*old, new) if new is not None else old
    status = rollout_status(deployment, new, every, now)
    if scale := tuple(Scale(rs, 0) for rs in old if rs.spec.replicas > 0):
        return Decision(revision=revision, scale=scale, status=status, why="stopping the old pods")
    # What the ReplicaSets say counts as well: the cache of pods may be behind the one of ReplicaSets.
    running = any(not pod.is_finished for rs in old for pod in pods.get(rs.metadata.uid, ()))
    if running or any(rs.status.replicas > 0 for rs in old):
        return Decision(revision=revision, status=status, why="waiting for the old pods to end")
    if new is None:
        made = new_replicaset(deployment, template, old, replicas=deployment.spec.replicas)
        return Decision(create=made, status=_creating(deployment, status, made, now), why="new template")
    if scale := grow_new(deployment, new, every):
        return Decision(revision=revision, scale=scale, status=status, why="starting the new pods")
    return _settled(deployment, old, revision, status)


def _settled(
    deployment: Deployment, old: tuple[ReplicaSet, ...], revision: str | None, status: DeploymentStatus
) -> Decision:
    progressing = condition_of(status.conditions, PROGRESSING)
    done = progressing is None or progressing.reason == "NewReplicaSetAvailable"
    delete = expendable(deployment, old) if done else ()
    return Decision(revision=revision, delete=delete, status=status, why="dropping old revisions" if delete else "")


def _resized_notes(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> tuple[Scale, ...]:
    """ReplicaSets that keep their size under the changed count: they must remember it, or they count as unscaled."""
    touched = {scale.rs.metadata.uid for scale in rescaled(deployment, new, old)}
    every = (*old, new) if new is not None else tuple(old)
    return tuple(
        Scale(rs, rs.spec.replicas)
        for rs in every
        if rs.metadata.uid not in touched and needs_rescaling(deployment, (rs,))
    )


def _creating(deployment: Deployment, status: DeploymentStatus, made: NewReplicaSet, now: float) -> DeploymentStatus:
    if deadline_of(deployment) is None:
        return status
    message = f'Created new replica set "{made.name}"'
    return with_progress(status, PROGRESSING, "True", "NewReplicaSetCreated", message, now, moved=True)


def _marks(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> tuple[Mark, ...]:
    """What the newest ReplicaSet lacks: the newest revision number, the Deployment's annotations, minReadySeconds."""
    present = new.metadata.annotations
    wanted: dict[str, str] = {
        key: value for key, value in deployment.metadata.annotations.items() if key not in _NOT_COPIED
    }
    highest = max((revision_of(rs) for rs in old), default=0)
    if revision_of(new) <= highest:
        # It was rolled back to: it becomes the newest revision again, and remembers which it was.
        wanted[REVISION] = str(highest + 1)
        if revision_of(new):
            history = present.get(REVISION_HISTORY, "")
            wanted[REVISION_HISTORY] = ",".join(part for part in (history, present[REVISION]) if part)
    missing = {key: value for key, value in wanted.items() if present.get(key) != value}
    same_wait = new.spec.min_ready_seconds == deployment.spec.min_ready_seconds
    if not missing and same_wait:
        return ()
    return (Mark(new, missing, deployment.spec.min_ready_seconds),)


def _with_pause_noted(deployment: Deployment, now: float) -> Deployment:
    """The Deployment with its Progressing condition saying whether it is paused, so that the deadline stops."""
    if deadline_of(deployment) is None:
        return deployment
    condition = condition_of(deployment.status.conditions, PROGRESSING)
    if condition is not None and condition.reason == "ProgressDeadlineExceeded":
        return deployment
    noted = condition is not None and condition.reason == "DeploymentPaused"
    status = deployment.status
    if deployment.spec.paused and not noted:
        status = with_progress(status, PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused", now)
    elif not deployment.spec.paused and noted:
        status = with_progress(status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    return msgspec.structs.replace(deployment, status=status)
