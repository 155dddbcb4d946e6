"""What is done next about a pod."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.pods.decide import (
    Finalize,
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopSandbox,
    decide,
    inits_done,
    is_over,
)
from node_agent.pods.labels import ContainerKind
from node_agent.pods.observed import Failure, Health, Observed, Pull, PullPhase
from node_agent.runtime.base import Phase
from tests.support.runtime import NOW, a_container, a_pod, a_sandbox, a_seen, an_observation

PRESENT = {"main": Pull(phase=PullPhase.PRESENT)}
EXITED = Phase.EXITED
INIT = ContainerKind.INIT
WITH_INIT = {"initContainers": [a_container("init")]}
WITH_SIDECAR = {"initContainers": [a_container("side", restartPolicy="Always")]}


@pytest.mark.parametrize(
    ("pod", "seen", "steps"),
    [
        pytest.param(
            a_pod(), Observed(now=NOW), (PrepareVolumes(), PullImage("main"), StartSandbox(0)), id="everything-begins"
        ),
        pytest.param(
            a_pod(**WITH_INIT),
            Observed(now=NOW, volumes_ready=True),
            (PullImage("init"), StartSandbox(0)),
            id="the-first-init-image-is-pulled-meanwhile",
        ),
        pytest.param(a_pod(), an_observation(), (PullImage("main"),), id="image-first"),
        pytest.param(a_pod(), an_observation(pulls=PRESENT), (StartContainer("main", 0),), id="image-present"),
        pytest.param(
            a_pod(), an_observation(pulls={"main": Pull(phase=PullPhase.PULLING)}), (), id="pulling-is-waited-for"
        ),
        pytest.param(
            a_pod(), an_observation(volumes_ready=False), (PrepareVolumes(),), id="adopted-volumes-are-checked"
        ),
        pytest.param(a_pod(), an_observation(a_seen()), (), id="as-wanted"),
        pytest.param(
            a_pod(),
            an_observation(a_seen(phase=EXITED, exit_code=1), pulls=PRESENT),
            (StartContainer("main", 1),),
            id="first-restart-is-immediate",
        ),
        pytest.param(
            a_pod(restartPolicy="OnFailure"),
            an_observation(a_seen(phase=EXITED, exit_code=1), pulls=PRESENT),
            (StartContainer("main", 1),),
            id="on-failure-restarts-a-failure",
        ),
        pytest.param(
            a_pod(restartPolicy="Never"),
            an_observation(a_seen(phase=EXITED, exit_code=1)),
            (StopSandbox("sandbox"),),
            id="never-restarts-nothing",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(phase=Phase.CREATED)),
            (RemoveContainer("main-0"),),
            id="half-made-is-removed",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(), health={"main-0": Health(live=False, why="dead", grace_s=3.0)}),
            (StopContainer("main-0", "main", 3.0, "dead"),),
            id="not-alive-is-stopped-with-the-probes-grace",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(spec="old")),
            (StopContainer("main-0", "main", 30.0, "Container main definition changed, will be restarted"),),
            id="another-image-restarts",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(), sandbox=a_sandbox(phase=EXITED)),
            (StopContainer("main-0", "main", 30.0, "the pod's sandbox has ended"),),
            id="a-dead-sandbox-takes-its-containers-along",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(phase=EXITED, sandbox="old"), sandbox=a_sandbox(phase=EXITED)),
            (RemoveContainer("sandbox"), PullImage("main"), StartSandbox(1)),
            id="a-dead-sandbox-is-replaced",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(phase=EXITED, sandbox="old", backoff_s=300.0), pulls=PRESENT),
            (StartContainer("main", 1),),
            id="a-new-sandbox-waits-for-no-back-off",
        ),
        pytest.param(
            a_pod(),
            an_observation(a_seen(attempt=2), a_seen(attempt=1, phase=EXITED), a_seen(attempt=0, phase=EXITED)),
            (RemoveContainer("main-0"),),
            id="one-dead-container-is-kept-for-previous-logs",
        ),
        pytest.param(a_pod(**WITH_INIT), an_observation(), (PullImage("init"),), id="inits-first"),
        pytest.param(
            a_pod(**WITH_INIT), an_observation(a_seen("init", kind=INIT)), (), id="a-running-init-is-waited-for"
        ),
        pytest.param(
            a_pod(**WITH_INIT),
            an_observation(a_seen("init", kind=INIT, phase=EXITED), pulls=PRESENT),
            (StartContainer("main", 0),),
            id="after-the-inits-the-others",
        ),
        pytest.param(
            a_pod(**WITH_INIT, restartPolicy="Never"),
            an_observation(a_seen("init", kind=INIT, phase=EXITED, exit_code=1)),
            (StopSandbox("sandbox"),),
            id="a-failed-init-of-a-pod-that-never-restarts-ends-it",
        ),
        pytest.param(
            a_pod(**WITH_SIDECAR),
            an_observation(a_seen("side", kind=INIT), pulls=PRESENT),
            (StartContainer("main", 0),),
            id="a-started-sidecar-lets-the-others-begin",
        ),
        pytest.param(
            a_pod(**WITH_SIDECAR, restartPolicy="Never"),
            an_observation(a_seen("side", kind=INIT), a_seen(phase=EXITED)),
            (StopContainer("side-0", "side", 30.0, "all containers have ended for good"),),
            id="sidecars-end-after-the-others",
        ),
        pytest.param(
            a_pod(deleted=True, grace_s=7),
            an_observation(a_seen()),
            (StopContainer("main-0", "main", 7.0, "the pod is being deleted"),),
            id="deleted-stops",
        ),
        pytest.param(
            a_pod(deleted=True),
            an_observation(a_seen(), stopping=frozenset({"main-0"})),
            (),
            id="stopping-is-waited-for",
        ),
        pytest.param(
            a_pod(deleted=True), an_observation(a_seen(phase=EXITED)), (StopSandbox("sandbox"),), id="then-the-sandbox"
        ),
        pytest.param(
            a_pod(deleted=True),
            an_observation(a_seen(phase=EXITED), sandbox=a_sandbox(phase=EXITED)),
            (),
            id="the-last-status-must-arrive",
        ),
        pytest.param(
            a_pod(deleted=True),
            an_observation(a_seen(phase=EXITED), sandbox=a_sandbox(phase=EXITED), reported=True),
            (Finalize(),),
            id="then-it-goes",
        ),
        pytest.param(a_pod(), Observed(now=NOW, refused=("NodePorts", "no")), (), id="refused-starts-nothing"),
        pytest.param(a_pod(status={"phase": "Failed"}), Observed(now=NOW), (), id="ended-stays-ended"),
        pytest.param(
            a_pod(activeDeadlineSeconds=50),
            an_observation(a_seen()),
            (StopContainer("main-0", "main", 30.0, "active for longer than its deadline"),),
            id="the-deadline-stops",
        ),
    ],
)
def test_decide(pod, seen, steps):
    assert decide(pod, seen).steps == steps


@pytest.mark.parametrize(
    ("seen", "wake_at"),
    [
        pytest.param(
            an_observation(a_seen(phase=EXITED, exit_code=1, backoff_s=20.0), pulls=PRESENT), NOW + 20, id="crash-loop"
        ),
        pytest.param(
            an_observation(pulls={"main": Pull(phase=PullPhase.BACKING_OFF, retry_at=NOW + 9)}), NOW + 9, id="image"
        ),
        pytest.param(
            an_observation(
                pulls=PRESENT,
                failures={"main": Failure(reason="CreateContainerError", message="no", retry_at=NOW + 4)},
            ),
            NOW + 4,
            id="creation",
        ),
        pytest.param(
            an_observation(failures={"": Failure(reason="x", message="no", retry_at=NOW + 3)}), NOW + 3, id="sandbox"
        ),
    ],
)
def test_what_failed_is_tried_again_in_time(seen, wake_at):
    decision = decide(a_pod(), seen)
    assert (decision.steps, decision.wake_at) == ((), wake_at)


def test_the_deadline_wakes_a_pod_that_runs():
    pod = a_pod(activeDeadlineSeconds=130)
    assert decide(pod, an_observation(a_seen())).wake_at == NOW + 30


def test_finished_inits_of_an_old_sandbox_run_again():
    pod = a_pod(**WITH_INIT)
    seen = an_observation(a_seen("init", kind=INIT, phase=EXITED, sandbox="old"))
    assert not inits_done(pod, seen)
    assert decide(pod, seen).steps == (PullImage("init"),)


phases = st.sampled_from(list(Phase))


@given(
    deleted=st.booleans(),
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    main=st.none() | st.tuples(phases, st.integers(0, 2), st.sampled_from([0.0, 10.0])),
    sandbox=phases,
    volumes_ready=st.booleans(),
    reported=st.booleans(),
    stopping=st.booleans(),
)
def test_no_step_contradicts_another(deleted, policy, main, sandbox, volumes_ready, reported, stopping):
    pod = a_pod(deleted=deleted, restartPolicy=policy)
    containers = [] if main is None else [a_seen(phase=main[0], exit_code=main[1], backoff_s=main[2])]
    seen = an_observation(
        *containers,
        sandbox=a_sandbox(phase=sandbox),
        pulls=PRESENT,
        volumes_ready=volumes_ready,
        reported=reported,
        stopping=frozenset({"main-0"}) if stopping else frozenset(),
    )
    steps = decide(pod, seen).steps
    kinds = {type(step) for step in steps}
    if deleted or is_over(pod, seen):
        assert not kinds & {StartContainer, StartSandbox, PullImage, PrepareVolumes}
    if Finalize in kinds:
        assert kinds == {Finalize}
        assert not seen.running
    if StopSandbox in kinds:
        assert not seen.running
    assert not (StopContainer in kinds and StartContainer in kinds)
    if StartContainer in kinds:
        assert seen.sandbox is not None
        assert not seen.running


@given(failures=st.integers(1, 12))
def test_a_crashing_container_waits_longer_each_time_up_to_five_minutes(failures):
    from node_agent.pods.restart import backoff_after, restart_at

    previous = None
    delays = []
    for attempt in range(failures):
        previous = a_seen(phase=EXITED, exit_code=1, attempt=attempt, backoff_s=backoff_after(previous))
        delays.append(restart_at(previous) - NOW)
    assert delays == [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0, 300.0, 300.0][:failures]


def test_ten_minutes_without_a_crash_forget_the_back_off():
    from node_agent.pods.restart import backoff_after, restart_at

    survivor = a_seen(phase=EXITED, exit_code=1, backoff_s=300.0, started=NOW - 600)
    assert restart_at(survivor) == NOW
    assert backoff_after(survivor) == 10.0
