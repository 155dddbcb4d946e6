"""Columns of pods. Readiness, status and restarts are computed as `pkg/printers/internalversion` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import AGE, NAME, NONE, Column
from orchestrator.api.printing.durations import age

_TERMINAL = ("Succeeded", "Failed")


@dataclass(slots=True)
class _Restarts:
    """How often containers restarted, and when the last of them had ended."""

    count: int = 0
    last_ended: str = ""

    def add(self, status: Mapping[str, Any]) -> None:
        self.count += status.get("restartCount", 0)
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last_ended = max(self.last_ended, ended)


@dataclass(slots=True)
class _Summary:
    ready: int
    total: int
    reason: str
    restarts: _Restarts


def _statuses(pod: Object, field: str) -> list[Mapping[str, Any]]:
    return (pod.get("status") or {}).get(field) or []


def _condition(pod: Object, type_: str) -> Mapping[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == type_), {})


def _end_reason(terminated: Mapping[str, Any]) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _summary(pod: Object) -> _Summary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or ""
    if _condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    summary = _Summary(0, len(spec.get("containers") or ()) + len(sidecars), reason, _Restarts())
    of_sidecars = _Restarts()
    initializing = _read_init_containers(pod, summary, sidecars, of_sidecars)
    if not initializing or _condition(pod, "Initialized").get("status") == "True":
        summary.restarts = of_sidecars
        _read_containers(pod, summary)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in _TERMINAL:
            summary.reason = "Terminating"
    return summary


def _read_init_containers(pod: Object, summary: _Summary, sidecars: set[str], of_sidecars: _Restarts) -> bool:
    """Whether an init container is still in the way; the first such one gives the reason."""
    count = len((pod.get("spec") or {}).get("initContainers") or ())
    for at, container in enumerate(_statuses(pod, "initContainerStatuses")):
        summary.restarts.add(container)
        sidecar = container.get("name") in sidecars
        if sidecar:
            of_sidecars.add(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = f"Init:{_end_reason(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{at}/{count}"
        return True
    return False


def _read_containers(pod: Object, summary: _Summary) -> None:
    running = False
    for container in reversed(_statuses(pod, "containerStatuses")):
        summary.restarts.add(container)
        state = container.get("state") or {}
        terminated = state.get("terminated")
        if waiting := (state.get("waiting") or {}).get("reason"):
            summary.reason = waiting
        elif terminated is not None:
            summary.reason = _end_reason(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if _condition(pod, "Ready").get("status") == "True" else "NotReady"


def _ready(pod: Object, now: float) -> str:
    summary = _summary(pod)
    return f"{summary.ready}/{summary.total}"


def status_of(pod: Object) -> str:
    """The word in the STATUS column."""
    return _summary(pod).reason


def _restarts(pod: Object, now: float) -> str:
    restarts = _summary(pod).restarts
    if restarts.count and restarts.last_ended:
        return f"{restarts.count} ({age(restarts.last_ended, now)} ago)"
    return str(restarts.count)


def _ips(pod: Object) -> Iterator[str]:
    status = pod.get("status") or {}
    yield from (entry.get("ip", "") for entry in status.get("podIPs") or ())
    yield status.get("podIP", "")


def _gates(pod: Object, now: float) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return NONE
    true = sum(_condition(pod, gate.get("conditionType", "")).get("status") == "True" for gate in gates)
    return f"{true}/{len(gates)}"


PODS = (
    NAME,
    Column("Ready", _ready, description="How many of the pod's containers are ready."),
    Column("Status", lambda pod, now: status_of(pod), description="What the pod's containers, taken together, do."),
    Column("Restarts", _restarts, description="How often the pod's containers restarted, and when last."),
    AGE,
    Column("IP", lambda pod, now: next(filter(None, _ips(pod)), NONE), priority=1, description="The pod's address."),
    Column(
        "Node",
        lambda pod, now: (pod.get("spec") or {}).get("nodeName") or NONE,
        priority=1,
        description="The node the pod is bound to.",
    ),
    Column(
        "Nominated Node",
        lambda pod, now: (pod.get("status") or {}).get("nominatedNodeName") or NONE,
        priority=1,
        description="The node where others make room for the pod.",
    ),
    Column("Readiness Gates", _gates, priority=1, description="How many of the pod's readiness gates are true."),
)
