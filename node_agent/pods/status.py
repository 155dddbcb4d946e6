"""The status of a pod from what is seen of it; pure. Its words and rules are Kubernetes'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node_agent.pods.conditions import Readiness, conditions
from node_agent.pods.decide import health_of, inits_done, is_past_deadline
from node_agent.pods.facts import NodeFacts
from node_agent.pods.labels import Seen
from node_agent.pods.observed import Observed, PullPhase
from node_agent.pods.restart import is_sidecar, restart_at, should_restart
from node_agent.runtime.base import Phase
from orchestrator.api.objects import Object
from orchestrator.api.views.pods import Container, Pod
from orchestrator.machinery.clock import timestamp

_WAITING_FOR_IMAGE = {
    PullPhase.FAILED: "ErrImagePull",
    PullPhase.BACKING_OFF: "ImagePullBackOff",
    PullPhase.NEVER: "ErrImageNeverPull",
    PullPhase.INVALID: "InvalidImageName",
}


def status_of(
    pod: Pod,
    seen: Observed,
    facts: NodeFacts,
    *,
    image_ids: Mapping[str, str],
    messages: Mapping[str, str],
    pod_ip: str,
) -> Object:
    """The status to report. `image_ids` are by the runtime's image id, termination `messages` by container id.

    It is a merge patch: a None removes what an earlier status said.
    """
    if seen.refused is not None and not seen.containers:
        reason, message = seen.refused
        return {"phase": "Failed", "reason": reason, "message": message, "startTime": timestamp(seen.now)}
    done = inits_done(pod, seen)
    words = _Words(pod, seen, image_ids, messages)
    inits = [words.container(one, init=True, waiting="PodInitializing") for one in pod.spec.init_containers]
    waiting = "PodInitializing" if not done and pod.spec.init_containers else "ContainerCreating"
    regulars = [words.container(one, init=False, waiting=waiting) for one in pod.spec.containers]
    phase = phase_of(pod, seen, inits=inits, regulars=regulars)
    reason, message = _why(pod, seen)
    if reason:
        phase = "Failed"
    readiness = Readiness(
        phase=phase,
        sandbox_ready=seen.sandbox is not None,
        unready_inits=() if done else tuple(one["name"] for one in inits if not one["ready"]),
        unready=tuple(one["name"] for one in regulars if not one["ready"]),
    )
    status: Object = {
        "phase": phase,
        "reason": reason or None,
        "message": message or None,
        "hostIP": facts.address,
        "hostIPs": [{"ip": facts.address}],
        "startTime": timestamp(seen.started_at or seen.now),
        "conditions": conditions(pod, readiness, seen.now),
        "containerStatuses": regulars,
        "observedGeneration": pod.metadata.generation or None,
    }
    if pod_ip:
        status["podIP"] = pod_ip
        status["podIPs"] = [{"ip": pod_ip}]
    if inits:
        status["initContainerStatuses"] = inits
    return status


def phase_of(pod: Pod, seen: Observed, *, inits: Sequence[Object], regulars: Sequence[Object]) -> str:
    """The pod's phase from its containers' states; Succeeded and Failed are for ever."""
    if pod.is_terminal:
        return pod.status.phase
    if pod.metadata.deletion_timestamp is not None and not seen.running and not seen.stopping:
        return _phase_at_the_end(pod, seen)
    if not inits_done(pod, seen):
        failed = any(_exit_code(one) not in (None, 0) for one in inits)
        return "Failed" if failed and pod.spec.restart_policy == "Never" else "Pending"
    running = sum("running" in one["state"] for one in regulars)
    stopped = [one for one in regulars if "running" not in one["state"] and _exit_code(one) is not None]
    if running + len(stopped) < len(regulars):
        return "Pending"
    if running or pod.spec.restart_policy == "Always":
        return "Running"
    if all(_exit_code(one) == 0 for one in stopped):
        return "Succeeded"
    return "Failed" if pod.spec.restart_policy == "Never" else "Running"


def _phase_at_the_end(pod: Pod, seen: Observed) -> str:
    """A pod that is being deleted and whose containers have all stopped says how they did."""
    codes = []
    for container in pod.spec.containers:
        newest = seen.newest(container.name)
        if newest is None or newest.state.phase is not Phase.EXITED:
            return "Failed" if seen.containers else (pod.status.phase or "Pending")
        codes.append(newest.state.exit_code)
    return "Succeeded" if all(code == 0 for code in codes) else "Failed"


def _why(pod: Pod, seen: Observed) -> tuple[str, str]:
    if seen.refused is not None:
        return seen.refused
    if pod.is_terminal:
        return pod.status.reason, pod.status.message
    if is_past_deadline(pod, seen):
        return "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
    return "", ""


class _Words:
    """The statuses of one pod's containers."""

    def __init__(self, pod: Pod, seen: Observed, image_ids: Mapping[str, str], messages: Mapping[str, str]) -> None:
        self._pod = pod
        self._seen = seen
        self._image_ids = image_ids
        self._messages = messages

    def container(self, container: Container, *, init: bool, waiting: str) -> Object:
        """One entry of `containerStatuses` or `initContainerStatuses`."""
        found = self._seen.containers.get(container.name, ())
        newest = found[0] if found else None
        if newest is not None and newest.state.phase is Phase.CREATED:
            # Not started yet: for the status it does not exist.
            found = found[1:]
            newest = found[0] if found else None
        status: Object = {
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "lastState": {},
            "ready": False,
            "restartCount": 0,
            "started": False,
        }
        if newest is None:
            status["state"] = {"waiting": self._waiting(container, None, waiting)}
            return status
        status["restartCount"] = newest.attempt
        status["containerID"] = f"docker://{newest.state.id}"
        status["imageID"] = self._image_ids.get(newest.state.image_id, newest.state.image_id)
        if newest.state.phase is Phase.RUNNING:
            health = health_of(container, newest, self._seen)
            status["state"] = {"running": {"startedAt": timestamp(newest.state.started_at)}}
            status["started"] = health.started
            status["ready"] = health.started if init else health.started and health.ready
            if len(found) > 1:
                status["lastState"] = {"terminated": self._terminated(found[1])}
            return status
        ended = self._terminated(newest)
        if self._waits(container, newest, init=init):
            status["state"] = {"waiting": self._waiting(container, newest, waiting)}
            status["lastState"] = {"terminated": ended}
            return status
        status["state"] = {"terminated": ended}
        status["ready"] = init and not is_sidecar(container) and newest.state.exit_code == 0
        if len(found) > 1:
            status["lastState"] = {"terminated": self._terminated(found[1])}
        return status

    def _waits(self, container: Container, ended: Seen, *, init: bool) -> bool:
        """Whether an ended container is shown as waiting for its next start."""
        pod, seen = self._pod, self._seen
        if pod.metadata.deletion_timestamp is not None or pod.is_terminal or seen.refused is not None:
            return False
        policy = pod.spec.restart_policy
        if is_sidecar(container):
            policy = "Always"
        elif init and policy == "Always":
            policy = "OnFailure"
        if not should_restart(policy, ended.state.exit_code):
            return False
        waits_for_image = container.name in seen.pulls and seen.pulls[container.name].phase in _WAITING_FOR_IMAGE
        return restart_at(ended) > seen.now or waits_for_image or container.name in seen.failures

    def _waiting(self, container: Container, ended: Seen | None, default: str) -> Object:
        seen, pod = self._seen, self._pod
        failure = seen.failures.get(container.name)
        if failure is not None:
            return {"reason": failure.reason, "message": failure.message}
        pull = seen.pulls.get(container.name)
        if pull is not None and pull.phase in _WAITING_FOR_IMAGE:
            return {"reason": _WAITING_FOR_IMAGE[pull.phase], "message": pull.message}
        if ended is not None and ended.backoff_s and restart_at(ended) > seen.now:
            meta = pod.metadata
            delay = _duration(ended.backoff_s)
            message = (
                f"back-off {delay} restarting failed container={container.name} "
                f"pod={meta.name}_{meta.namespace}({meta.uid})"
            )
            return {"reason": "CrashLoopBackOff", "message": message}
        return {"reason": default}

    def _terminated(self, ended: Seen) -> Object:
        state = ended.state
        shown: dict[str, Any] = {
            "exitCode": state.exit_code,
            "reason": _end_reason(ended),
            "startedAt": timestamp(state.started_at) if state.started_at else None,
            "finishedAt": timestamp(state.finished_at),
            "containerID": f"docker://{state.id}",
        }
        message = state.error or self._messages.get(state.id, "")
        if message:
            shown["message"] = message
        return shown


def _end_reason(ended: Seen) -> str:
    state = ended.state
    if state.oom_killed:
        return "OOMKilled"
    if state.error and not state.started_at:
        return "StartError"
    return "Completed" if state.exit_code == 0 else "Error"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _exit_code(status: Mapping[str, Any]) -> int | None:
    for state in (status["state"], status["lastState"]):
        if "terminated" in state:
            return int(state["terminated"]["exitCode"])
        if "running" in state:
            return None
    return None
