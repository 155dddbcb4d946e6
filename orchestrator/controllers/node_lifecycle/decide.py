"""A node's health from what is heard of it: the conditions and taints it should have."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from orchestrator.api.views.cluster import Node, Taint
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.moments import text_of

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

#: Condition type -> the taint it stands for while it is True.
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
#: The reason on pods that we, and not their agent, called not ready.
_NODE_NOT_READY = "NodeNotReady"
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()})


class Eviction(enum.Enum):
    """What may be done to the pods of a node that is not ready."""

    NEVER = "no node is ready: the fault is more likely ours than theirs, and nothing is evicted"
    LATER = "others come first: the taint that evicts stays where it is, and is not added"
    NOW = "the taint that evicts is added"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`conditions` are those to write; `taints` the whole list to write, None if it is as it should be.

    `waits` says that the taint that evicts was not added only because of `Eviction.LATER`.
    """

    conditions: tuple[Condition, ...] = ()
    taints: tuple[Taint, ...] | None = None
    is_unreachable: bool = False
    waits: bool = False


def decide(node: Node, *, silent: bool, eviction: Eviction, now: float) -> Decision:
    """What to write on a node; `silent`: nothing was heard of it for the whole grace period."""
    changed = _unknown_conditions(node, now) if silent else ()
    conditions = _merged(node.status.conditions, changed)
    ready = condition_of(conditions, "Ready")
    evicts = any(taint.key in (NOT_READY, UNREACHABLE) and taint.effect == "NoExecute" for taint in node.spec.taints)
    may_evict = eviction is Eviction.NOW or (evicts and eviction is Eviction.LATER)
    taints = _taints(node, conditions, ready, may_evict=may_evict, now=now)
    return Decision(
        waits=eviction is Eviction.LATER and not evicts and ready is not None and ready.status != "True",
        conditions=changed,
        taints=None if _same(taints, node.spec.taints) else taints,
        is_unreachable=ready is not None and ready.status == "Unknown",
    )


def is_ready(node: Node) -> bool:
    """Whether the node's Ready condition is True."""
    ready = node.condition("Ready")
    return ready is not None and ready.status == "True"


def lost(pod: Pod, now: float) -> Condition | None:
    """The Ready condition of a pod whose node cannot be reached; None if it is not Ready anyway."""
    ready = pod.condition("Ready")
    if ready is None or ready.status != "True":
        return None
    return msgspec.structs.replace(
        ready,
        status="False",
        reason=_NODE_NOT_READY,
        message="Node is not ready",
        last_transition_time=text_of(now),
    )


def regained(pod: Pod, now: float) -> Condition | None:
    """The Ready condition of a pod that only its node's silence made not ready; None for any other.

    The agent's word always counts more: whatever it reported since then has another reason, and stays.
    """
    ready, containers = pod.condition("Ready"), pod.condition("ContainersReady")
    if ready is None or ready.status == "True" or ready.reason != _NODE_NOT_READY or pod.is_terminating:
        return None
    if containers is None or containers.status != "True":
        return None
    return msgspec.structs.replace(ready, status="True", reason="", message="", last_transition_time=text_of(now))


def _unknown_conditions(node: Node, now: float) -> tuple[Condition, ...]:
    changed = []
    for type_ in _REPORTED:
        present = node.condition(type_)
        if present is None:
            changed.append(
                Condition(
                    type=type_,
                    status="Unknown",
                    reason="NodeStatusNeverUpdated",
                    message="Kubelet never posted node status.",
                    last_heartbeat_time=node.metadata.creation_timestamp or None,
                    last_transition_time=text_of(now),
                )
            )
        elif present.status != "Unknown":
            changed.append(
                msgspec.structs.replace(
                    present,
                    status="Unknown",
                    reason="NodeStatusUnknown",
                    message="Kubelet stopped posting node status.",
                    last_transition_time=text_of(now),
                )
            )
    return tuple(changed)


def _merged(present: Sequence[Condition], changed: Sequence[Condition]) -> tuple[Condition, ...]:
    types = {condition.type for condition in changed}
    return (*(condition for condition in present if condition.type not in types), *changed)


def _taints(
    node: Node, conditions: Sequence[Condition], ready: Condition | None, *, may_evict: bool, now: float
) -> tuple[Taint, ...]:
    wanted: list[tuple[str, str]] = []
    if ready is None:
        # Not heard of yet: it keeps the taint that admission gave it.
        wanted += [(taint.key, taint.effect) for taint in node.spec.taints if taint.key in (NOT_READY, UNREACHABLE)]
    elif ready.status != "True":
        key = NOT_READY if ready.status == "False" else UNREACHABLE
        wanted.append((key, "NoSchedule"))
        if may_evict:
            wanted.append((key, "NoExecute"))
    for type_, key in _PRESSURES.items():
        condition = condition_of(conditions, type_)
        if condition is not None and condition.status == "True":
            wanted.append((key, "NoSchedule"))
    if node.spec.unschedulable:
        wanted.append((UNSCHEDULABLE, "NoSchedule"))

    kept = [taint for taint in node.spec.taints if taint.key not in _OURS or (taint.key, taint.effect) in wanted]
    present = {(taint.key, taint.effect) for taint in kept}
    # timeAdded is what tolerationSeconds count from, so a taint that is there already is left as it is.
    added = [
        Taint(key=key, effect=effect, time_added=text_of(now)) for key, effect in wanted if (key, effect) not in present
    ]
    return (*kept, *added)


def _same(one: Sequence[Taint], other: Sequence[Taint]) -> bool:
    return {(taint.key, taint.effect) for taint in one} == {(taint.key, taint.effect) for taint in other}
