"""Compares a ReplicaSet with the pods that exist: whom to adopt, what to create or delete, what to report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.api.codec import decode_into
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.workloads import Pod, ReplicaSet, ReplicaSetStatus, TemplateLabels
from orchestrator.controllers.conditions import with_condition, without_condition
from orchestrator.controllers.moments import text_of
from orchestrator.controllers.ownership import claim
from orchestrator.controllers.pod_facts import cheapest_to_lose, is_available, next_availability_s

#: Kubernetes' burst: pods created or deleted in one sync. The rest follows in the next one.
BURST_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one sync does. Never both creates and deletes."""

    adopt: tuple[Pod, ...] = ()
    release: tuple[Pod, ...] = ()
    create: int = 0
    delete: tuple[Pod, ...] = ()
    why: str = "as wanted"

    @property
    def is_a_change(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.adopt or self.release or self.create or self.delete)


def decide(rs: ReplicaSet, candidates: Sequence[Pod], related: Sequence[Pod], now: float) -> Decision:
    """Compare the wanted replica count with the pods that exist.

    `candidates` are the pods it controls and the namespace's pods without a controller; `related` the pods of the
    whole application (all ReplicaSets of one Deployment), for choosing the least loss.
    """
    claimed = claim(rs.metadata, rs.spec.selector, candidates)
    if rs.metadata.deletion_timestamp is not None:
        return Decision(why="being deleted; the garbage collector owns its pods")

    # Adoption comes first and alone: it may fail, and then the counts below would be wrong.
    adopt = tuple(pod for pod in claimed.adopt if pod.is_active)
    if adopt or claimed.release:
        why = f"{len(adopt)} pods to adopt, {len(claimed.release)} to release"
        return Decision(adopt=adopt, release=claimed.release, why=why)

    active = [pod for pod in claimed.owned if pod.is_active]
    missing = rs.spec.replicas - len(active)
    if missing > 0:
        return Decision(create=min(missing, BURST_MAX), why=f"{missing} pods missing")
    if missing < 0:
        doomed = cheapest_to_lose(active, min(-missing, BURST_MAX), related=related, now=now)
        return Decision(delete=doomed, why=f"{-missing} pods too many")
    return Decision()


def status_of(
    rs: ReplicaSet, candidates: Sequence[Pod], now: float, *, failure: tuple[str, str] | None = None
) -> ReplicaSetStatus:
    """The status that the cache supports; `failure` is the (reason, message) of a create or delete that was refused."""
    owned = claim(rs.metadata, rs.spec.selector, candidates).owned
    active = [pod for pod in owned if pod.is_active]
    template = decode_into(bytes(rs.spec.template), TemplateLabels).metadata.labels
    conditions = rs.status.conditions
    if failure is None:
        conditions = without_condition(conditions, "ReplicaFailure")
    else:
        reason, message = failure
        wanted = Condition(
            type="ReplicaFailure", status="True", reason=reason, message=message, last_transition_time=text_of(now)
        )
        conditions = with_condition(conditions, wanted)
    return ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(template.items() <= pod.metadata.labels.items() for pod in active),
        ready_replicas=sum(pod.is_ready for pod in active),
        available_replicas=sum(is_available(pod, min_ready_s=rs.spec.min_ready_seconds, now=now) for pod in active),
        terminating_replicas=sum(pod.is_terminating and not pod.is_finished for pod in owned),
        observed_generation=max(rs.status.observed_generation, rs.metadata.generation),
        conditions=conditions,
    )


def look_again_s(rs: ReplicaSet, candidates: Sequence[Pod], now: float) -> float | None:
    """Seconds until time alone changes the status: a ready pod becomes available."""
    if rs.spec.min_ready_seconds <= 0:
        return None
    active = [pod for pod in claim(rs.metadata, rs.spec.selector, candidates).owned if pod.is_active]
    return next_availability_s(active, min_ready_s=rs.spec.min_ready_seconds, now=now)
