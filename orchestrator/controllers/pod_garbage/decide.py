"""Which pods nobody looks after any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.api.views.workloads import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`orphaned` were on a node that is gone (to be verified), `unscheduled` ended before they had one."""

    orphaned: tuple[Pod, ...] = ()
    unscheduled: tuple[Pod, ...] = ()
    finished: tuple[Pod, ...] = ()
    missing: frozenset[str] = frozenset()


def decide(
    pods: Sequence[Pod],
    nodes: Collection[str],
    missing_since: Mapping[str, float],
    *,
    quarantine_s: float,
    finished_max: int,
    now: float,
) -> Decision:
    """Sort out the pods to delete by force.

    `missing_since` says since when a node's name has been missing; only after the quarantine do its pods go, because
    a node may be deleted and registered again. `missing` in the answer is what to remember for the next time.
    """
    missing = frozenset(pod.spec.node_name for pod in pods if pod.spec.node_name and pod.spec.node_name not in nodes)
    gone = {name for name in missing if now - missing_since.get(name, now) >= quarantine_s}
    orphaned = tuple(pod for pod in pods if pod.spec.node_name in gone)
    unscheduled = tuple(pod for pod in pods if pod.is_terminating and not pod.spec.node_name)
    ended = [pod for pod in pods if pod.is_finished and not pod.is_terminating and pod.spec.node_name not in gone]
    surplus = max(len(ended) - finished_max, 0) if finished_max > 0 else 0
    ended.sort(key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.uid))
    return Decision(orphaned=orphaned, unscheduled=unscheduled, finished=tuple(ended[:surplus]), missing=missing)
