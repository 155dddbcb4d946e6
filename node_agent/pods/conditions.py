"""The conditions of a pod; pure. Those that others set are carried over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.clock import timestamp

_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the conditions say, before the words."""

    phase: str
    sandbox_ready: bool
    unready_inits: Sequence[str]
    unready: Sequence[str]


def conditions(pod: Pod, readiness: Readiness, now: float) -> list[Object]:
    """All conditions; the time of a transition is kept while the status stays."""
    old = {condition.type: condition for condition in pod.status.conditions}
    ended = readiness.phase in ("Succeeded", "Failed")
    completed = "PodCompleted" if readiness.phase == "Succeeded" else "PodFailed"

    initialized = _condition("Initialized", True)
    if ended and readiness.phase == "Succeeded":
        initialized = _condition("Initialized", True, "PodCompleted")
    elif readiness.unready_inits:
        message = f"containers with incomplete status: [{' '.join(readiness.unready_inits)}]"
        initialized = _condition("Initialized", False, "ContainersNotInitialized", message)

    if ended:
        containers = _condition("ContainersReady", False, completed)
    elif readiness.unready:
        message = f"containers with unready status: [{' '.join(readiness.unready)}]"
        containers = _condition("ContainersReady", False, "ContainersNotReady", message)
    else:
        containers = _condition("ContainersReady", True)

    missing = [gate.condition_type for gate in pod.spec.readiness_gates if not _is_true(pod, gate.condition_type)]
    if containers["status"] != "True":
        ready = {**containers, "type": "Ready"}
    elif missing:
        named = ", ".join(f'the status of pod readiness gate "{name}" is not "True"' for name in missing)
        ready = _condition("Ready", False, "ReadinessGatesNotReady", named)
    else:
        ready = _condition("Ready", True)

    ours = [
        _condition("PodReadyToStartContainers", readiness.sandbox_ready),
        initialized,
        ready,
        containers,
        _condition("PodScheduled", True),
    ]
    generation = {"observedGeneration": pod.metadata.generation} if pod.metadata.generation else {}
    shown: list[Object] = []
    for one in ours:
        before = old.get(one["type"])
        same = before is not None and before.status == one["status"] and before.last_transition_time
        shown.append(
            {
                **one,
                "lastProbeTime": None,
                "lastTransitionTime": before.last_transition_time if before is not None and same else timestamp(now),
                **generation,
            }
        )
    return shown + [_carried_over(one) for name, one in old.items() if name not in _OURS]


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Object:
    shown: Object = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        shown["reason"] = reason
    if message:
        shown["message"] = message
    return shown


def _is_true(pod: Pod, kind: str) -> bool:
    return any(condition.type == kind and condition.status == "True" for condition in pod.status.conditions)


def _carried_over(condition: Any) -> Object:
    shown: Object = {"type": condition.type, "status": condition.status, "lastProbeTime": None}
    for name, value in (
        ("reason", condition.reason),
        ("message", condition.message),
        ("lastTransitionTime", condition.last_transition_time),
        ("observedGeneration", condition.observed_generation),
    ):
        if value:
            shown[name] = value
    return shown
