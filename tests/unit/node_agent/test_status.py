"""The status of a pod, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from node_agent.pods.facts import NodeFacts
from node_agent.pods.labels import ContainerKind
from node_agent.pods.observed import Failure, Health, Observed, Pull, PullPhase
from node_agent.pods.status import status_of
from node_agent.runtime.base import Phase
from orchestrator.machinery.clock import timestamp
from tests.support.runtime import NOW, a_container, a_pod, a_sandbox, a_seen, an_observation

FACTS = NodeFacts(name="n1", address="10.0.0.1")
EXITED = Phase.EXITED


def status(pod: Any, seen: Observed, *, messages: dict[str, str] | None = None) -> dict[str, Any]:
    return status_of(
        pod, seen, FACTS, image_ids={"sha256:1": "docker-pullable://x"}, messages=messages or {}, pod_ip="10.244.0.2"
    )


def conditions(shown: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in shown["conditions"]}


def test_a_running_container_in_full():
    shown = status(a_pod(), an_observation(a_seen(attempt=1), a_seen(phase=EXITED, exit_code=2)))
    assert shown["phase"] == "Running"
    assert (shown["podIP"], shown["podIPs"], shown["hostIP"]) == ("10.244.0.2", [{"ip": "10.244.0.2"}], "10.0.0.1")
    assert shown["containerStatuses"] == [
        {
            "name": "main",
            "image": "busybox:1.36",
            "imageID": "docker-pullable://x",
            "containerID": "docker://main-1",
            "restartCount": 1,
            "ready": True,
            "started": True,
            "state": {"running": {"startedAt": timestamp(NOW - 5)}},
            "lastState": {
                "terminated": {
                    "exitCode": 2,
                    "reason": "Error",
                    "startedAt": timestamp(NOW - 5),
                    "finishedAt": timestamp(NOW),
                    "containerID": "docker://main-0",
                }
            },
        }
    ]
    assert conditions(shown) == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }


@pytest.mark.parametrize(
    ("pod", "seen", "phase", "waiting"),
    [
        pytest.param(a_pod(), Observed(now=NOW), "Pending", {"reason": "ContainerCreating"}, id="creating"),
        pytest.param(
            a_pod(initContainers=[a_container("init")]),
            an_observation(a_seen("init", kind=ContainerKind.INIT)),
            "Pending",
            {"reason": "PodInitializing"},
            id="initializing",
        ),
        pytest.param(
            a_pod(),
            an_observation(pulls={"main": Pull(phase=PullPhase.FAILED, message="no such")}),
            "Pending",
            {"reason": "ErrImagePull", "message": "no such"},
            id="pull-failed",
        ),
        pytest.param(
            a_pod(),
            an_observation(pulls={"main": Pull(phase=PullPhase.BACKING_OFF, message="later")}),
            "Pending",
            {"reason": "ImagePullBackOff", "message": "later"},
            id="pull-backs-off",
        ),
        pytest.param(
            a_pod(),
            an_observation(
                failures={
                    "main": Failure(
                        reason="CreateContainerConfigError", message='configmap "x" not found', retry_at=NOW + 1
                    )
                }
            ),
            "Pending",
            {"reason": "CreateContainerConfigError", "message": 'configmap "x" not found'},
            id="config-missing",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(phase=EXITED, exit_code=1, backoff_s=80.0)),
            "Running",
            {
                "reason": "CrashLoopBackOff",
                "message": "back-off 1m20s restarting failed container=main pod=web_default(uid-web)",
            },
            id="crash-loop",
        ),
    ],
)
def test_waiting(pod, seen, phase, waiting):
    shown = status(pod, seen)
    assert shown["phase"] == phase
    assert shown["containerStatuses"][0]["state"] == {"waiting": waiting}
    assert conditions(shown)["Ready"] == "False"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        pytest.param("Never", 0, "Succeeded", id="never-well"),
        pytest.param("Never", 1, "Failed", id="never-badly"),
        pytest.param("OnFailure", 0, "Succeeded", id="on-failure-well"),
        pytest.param("OnFailure", 1, "Running", id="on-failure-badly"),
        pytest.param("Always", 0, "Running", id="always"),
    ],
)
def test_phase_when_all_have_ended(policy, code, phase):
    seen = an_observation(a_seen(phase=EXITED, exit_code=code))
    assert status(a_pod(restartPolicy=policy), seen)["phase"] == phase


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(a_seen(phase=EXITED), "Completed", id="zero"),
        pytest.param(a_seen(phase=EXITED, exit_code=1), "Error", id="not-zero"),
        pytest.param(a_seen(phase=EXITED, exit_code=137, oom=True), "OOMKilled", id="out-of-memory"),
        pytest.param(a_seen(phase=EXITED, exit_code=127, error="no", started=0.0), "StartError", id="never-started"),
    ],
)
def test_why_a_container_ended(seen, reason):
    shown = status(a_pod(restartPolicy="Never"), an_observation(seen))
    assert shown["containerStatuses"][0]["state"]["terminated"]["reason"] == reason


def test_its_last_words_are_shown():
    shown = status(a_pod(restartPolicy="Never"), an_observation(a_seen(phase=EXITED)), messages={"main-0": "bye"})
    assert shown["containerStatuses"][0]["state"]["terminated"]["message"] == "bye"


def test_a_half_made_container_does_not_exist_for_the_status():
    shown = status(a_pod(), an_observation(a_seen(phase=Phase.CREATED)))
    assert shown["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_an_unprobed_answer_means_not_ready():
    pod = a_pod(containers=[a_container(readinessProbe={"tcpSocket": {"port": 1}})])
    shown = status(pod, an_observation(a_seen()))
    assert (shown["phase"], conditions(shown)["Ready"]) == ("Running", "False")
    shown = status(pod, an_observation(a_seen(), health={"main-0": Health()}))
    assert conditions(shown)["Ready"] == "True"


def test_a_readiness_gate_holds_the_pod_back():
    pod = a_pod(readinessGates=[{"conditionType": "example.com/fed"}])
    shown = status(pod, an_observation(a_seen()))
    assert (conditions(shown)["ContainersReady"], conditions(shown)["Ready"]) == ("True", "False")
    gate = {"type": "example.com/fed", "status": "True"}
    fed = a_pod(readinessGates=[{"conditionType": "example.com/fed"}], status={"conditions": [gate]})
    shown = status(fed, an_observation(a_seen()))
    assert conditions(shown)["Ready"] == "True"
    assert conditions(shown)["example.com/fed"] == "True"


def test_a_transition_keeps_its_time_while_nothing_changes():
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    shown = status(a_pod(status={"conditions": [old]}), an_observation(a_seen()))
    ready = next(one for one in shown["conditions"] if one["type"] == "Ready")
    assert ready["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_a_refused_pod_has_failed():
    shown = status(a_pod(), Observed(now=NOW, refused=("NodePorts", "no ports")))
    assert (shown["phase"], shown["reason"], shown["message"]) == ("Failed", "NodePorts", "no ports")


def test_past_its_deadline_a_pod_has_failed():
    shown = status(a_pod(activeDeadlineSeconds=1), an_observation(a_seen()))
    assert (shown["phase"], shown["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_deleted_pod_says_how_its_containers_ended():
    seen = an_observation(a_seen(phase=EXITED, exit_code=143), sandbox=a_sandbox(phase=EXITED))
    assert status(a_pod(deleted=True), seen)["phase"] == "Failed"


def test_failed_is_for_ever():
    assert status(a_pod(status={"phase": "Failed"}), an_observation(a_seen()))["phase"] == "Failed"
