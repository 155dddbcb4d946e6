"""Decides the next step of a StatefulSet: which ordinals to create, which pods to delete, what to report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from orchestrator.api.numbers import saturated_int32
from orchestrator.api.views.workloads import Pod, StatefulSet, StatefulSetStatus
from orchestrator.controllers.ownership import claim
from orchestrator.controllers.pod_facts import is_available, next_availability_s
from orchestrator.controllers.statefulset.revisions import POD_REVISION, Revisions

#: Pods of a Parallel set that one sync creates or deletes.
BURST_MAX = 100

_MEMBER = re.compile(r"^(.*)-(0|[1-9][0-9]*)$")


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the pod of an ordinal from a revision."""

    ordinal: int
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one sync does. Never both creates and deletes."""

    adopt: tuple[Pod, ...] = ()
    release: tuple[Pod, ...] = ()
    create: tuple[CreatePod, ...] = ()
    delete: tuple[Pod, ...] = ()
    why: str = "as wanted"

    @property
    def is_a_change(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.adopt or self.release or self.create or self.delete)


def ordinal_of(set_name: str, pod_name: str) -> int | None:
    """The pod's number in the set; None if it is no member by name."""
    member = member_of(pod_name)
    return member[1] if member is not None and member[0] == set_name else None


def member_of(pod_name: str) -> tuple[str, int] | None:
    """The set that would call a pod so, and the number it would have there."""
    found = _MEMBER.match(pod_name)
    return (found[1], int(found[2])) if found else None


def decide(sts: StatefulSet, candidates: Sequence[Pod], revisions: Revisions, now: float) -> Decision:
    """The next step of one StatefulSet.

    OrderedReady takes one step and waits until it shows; Parallel takes all steps of one sort at once.
    """
    claimed = claim(sts.metadata, sts.spec.selector, candidates, fits=lambda pod: _is_member(sts, pod))
    if sts.metadata.deletion_timestamp is not None:
        return Decision(why="being deleted; the garbage collector owns its pods")
    if claimed.adopt or claimed.release:
        why = f"{len(claimed.adopt)} pods to adopt, {len(claimed.release)} to release"
        return Decision(adopt=claimed.adopt, release=claimed.release, why=why)

    present = {_ordinal(sts, pod): pod for pod in claimed.owned}
    wanted = _wanted_ordinals(sts)
    one_by_one = sts.spec.pod_management_policy != "Parallel"
    step = _fill(sts, present, wanted, revisions, now, one_by_one=one_by_one)
    if step is not None:
        return step
    condemned = [present[ordinal] for ordinal in sorted(present, reverse=True) if ordinal not in wanted]
    step = _shrink(sts, condemned, now, one_by_one=one_by_one)
    if step is not None:
        return step
    return _update(sts, present, wanted, revisions, now)


def _fill(
    sts: StatefulSet, present: dict[int, Pod], wanted: range, revisions: Revisions, now: float, *, one_by_one: bool
) -> Decision | None:
    """Every wanted ordinal, lowest first: there, running, ready. None when nothing is left to do or wait for."""
    create: list[CreatePod] = []
    finished: list[Pod] = []
    for ordinal in wanted:
        pod = present.get(ordinal)
        if pod is None:
            create.append(CreatePod(ordinal, _revision_for(sts, ordinal, revisions)))
            # No further than one step goes: two thousand million replicas may be wanted.
            if one_by_one or len(create) == BURST_MAX:
                break
            continue
        name = pod.metadata.name
        if pod.is_finished and not pod.is_terminating:
            finished.append(pod)
            if one_by_one:
                break
            continue
        if not one_by_one:
            continue
        if pod.is_terminating:
            return Decision(why=f"waiting for {name} to end")
        if not _is_running(pod):
            return Decision(why=f"waiting for {name} to be running and ready")
        if not is_available(pod, min_ready_s=sts.spec.min_ready_seconds, now=now):
            return Decision(why=f"waiting for {name} to be available")
    if create:
        missing = len(wanted) - sum(ordinal in wanted for ordinal in present)
        return Decision(create=tuple(create), why=f"{missing} pods missing")
    if finished:
        return Decision(delete=tuple(finished[:BURST_MAX]), why=f"{len(finished)} pods ended and must start again")
    return None


def _shrink(sts: StatefulSet, condemned: Sequence[Pod], now: float, *, one_by_one: bool) -> Decision | None:
    """The ordinals that are no longer wanted, highest first.

    One by one, an unavailable pod holds up all but itself: with two of them, somebody has to look first.
    """
    going = [pod for pod in condemned if pod.is_terminating]
    staying = [pod for pod in condemned if not pod.is_terminating]
    if one_by_one and going:
        return Decision(why=f"waiting for {going[0].metadata.name} to end")
    if not staying:
        return None
    unavailable = [pod for pod in staying if not _serves(pod, sts.spec.min_ready_seconds, now)]
    if one_by_one and staying[0] in unavailable[:-1]:
        return Decision(why=f"waiting for {unavailable[-1].metadata.name} to be available")
    doomed = staying[:1] if one_by_one else staying[:BURST_MAX]
    return Decision(delete=tuple(doomed), why=f"{len(staying)} pods too many")


def _update(sts: StatefulSet, present: dict[int, Pod], wanted: range, revisions: Revisions, now: float) -> Decision:
    """Replace pods of another revision, highest ordinal first, down to the partition.

    Those that are not ready go at once: their going costs nothing. Those that are go as far as `maxUnavailable`
    allows, counted over the whole set, so that one that serves is never given up while another is on its way. One that
    is ready and not yet available serves as well, but does not count as a stand-in for another.
    """
    strategy = sts.spec.update_strategy
    if strategy.type == "OnDelete":
        return Decision()
    min_ready_s = sts.spec.min_ready_seconds
    available = sum(ordinal in present and _serves(present[ordinal], min_ready_s, now) for ordinal in wanted)
    spare = _unavailable_max(sts) - (len(wanted) - available)
    partition = strategy.rolling_update.partition if strategy.rolling_update is not None else 0
    outdated = [
        ordinal
        for ordinal in reversed(wanted[min(partition, len(wanted)) :])
        if ordinal in present and _is_outdated(present[ordinal], revisions)
    ]
    idle = [present[ordinal] for ordinal in outdated if not _is_running(present[ordinal])]
    doomed = idle + [present[ordinal] for ordinal in outdated if _is_running(present[ordinal])][: max(spare, 0)]
    if doomed:
        return Decision(delete=tuple(doomed[:BURST_MAX]), why=f"{len(outdated)} pods are of another revision")
    return Decision(why="waiting for pods to be available" if outdated else "as wanted")


def _unavailable_max(sts: StatefulSet) -> int:
    """How many pods may be unavailable during an update; a percentage rounds down, and it is never none."""
    rolling = sts.spec.update_strategy.rolling_update
    value = rolling.max_unavailable if rolling is not None else None
    if isinstance(value, str):
        value = saturated_int32(value.removesuffix("%")) * sts.spec.replicas // 100
    return max(value or 1, 1)


def status_of(sts: StatefulSet, candidates: Sequence[Pod], revisions: Revisions, now: float) -> StatefulSetStatus:
    """The status that the cache supports."""
    owned = claim(sts.metadata, sts.spec.selector, candidates, fits=lambda pod: _is_member(sts, pod)).owned
    ready = [pod for pod in owned if _is_running(pod)]
    live = [pod.metadata.labels.get(POD_REVISION) for pod in owned if not pod.is_terminating]
    min_ready_s = sts.spec.min_ready_seconds
    status = StatefulSetStatus(
        observed_generation=max(sts.metadata.generation, sts.status.observed_generation),
        replicas=len(owned),
        ready_replicas=len(ready),
        available_replicas=sum(is_available(pod, min_ready_s=min_ready_s, now=now) for pod in ready),
        current_replicas=live.count(revisions.current),
        updated_replicas=live.count(revisions.update),
        current_revision=revisions.current,
        update_revision=revisions.update,
        collision_count=sts.status.collision_count,
    )
    # Compared with what is wanted: of a set that lost pods, those that are left say nothing about the lost ones.
    done = status.updated_replicas == status.replicas == status.ready_replicas == sts.spec.replicas
    if sts.spec.update_strategy.type == "RollingUpdate" and done:
        return msgspec.structs.replace(
            status, current_revision=revisions.update, current_replicas=status.updated_replicas
        )
    return status


def look_again_s(sts: StatefulSet, candidates: Sequence[Pod], now: float) -> float | None:
    """Seconds until time alone changes something: a ready pod becomes available."""
    return next_availability_s(candidates, min_ready_s=sts.spec.min_ready_seconds, now=now)


def _is_member(sts: StatefulSet, pod: Pod) -> bool:
    return ordinal_of(sts.metadata.name, pod.metadata.name) is not None


def _ordinal(sts: StatefulSet, pod: Pod) -> int:
    ordinal = ordinal_of(sts.metadata.name, pod.metadata.name)
    assert ordinal is not None  # only members are claimed
    return ordinal


def _wanted_ordinals(sts: StatefulSet) -> range:
    start = sts.spec.ordinals.start if sts.spec.ordinals is not None else 0
    return range(start, start + sts.spec.replicas)


def _revision_for(sts: StatefulSet, ordinal: int, revisions: Revisions) -> str:
    """Below the partition a lost pod comes back as it was."""
    strategy = sts.spec.update_strategy
    if strategy.type != "RollingUpdate":
        return revisions.update
    kept = sts.status.current_replicas if strategy.rolling_update is None else strategy.rolling_update.partition
    return revisions.current if ordinal < _wanted_ordinals(sts).start + kept else revisions.update


def _is_running(pod: Pod) -> bool:
    return pod.status.phase == "Running" and pod.is_ready


def _serves(pod: Pod, min_ready_s: int, now: float) -> bool:
    return _is_running(pod) and not pod.is_terminating and is_available(pod, min_ready_s=min_ready_s, now=now)


def _is_outdated(pod: Pod, revisions: Revisions) -> bool:
    return pod.metadata.labels.get(POD_REVISION) != revisions.update and not pod.is_terminating
