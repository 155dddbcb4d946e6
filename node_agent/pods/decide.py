"""What to do next about one pod: a pure function of its spec and what is seen of it.

Steps that do not wait for one another come together; after them everything is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass

from node_agent.pods.labels import Seen, spec_hash
from node_agent.pods.observed import Health, Observed, PullPhase
from node_agent.pods.restart import is_sidecar, restart_at, should_restart
from node_agent.runtime.base import Phase
from orchestrator.api.views.pods import Container, Pod


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Make the pod's directories and files."""


@dataclass(frozen=True, slots=True)
class StartSandbox:
    """Start the pause container."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Stop the pause container; nothing runs in it any more."""

    id: str


@dataclass(frozen=True, slots=True)
class PullImage:
    """See to it that the container's image is there."""

    container: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create and start the container once more; `attempt` counts from 0 and is its restart count."""

    container: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Begin to stop a running container: hook, signal, grace, kill."""

    id: str
    container: str
    grace_s: float
    why: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container that has ended or never started."""

    id: str


@dataclass(frozen=True, slots=True)
class Finalize:
    """Nothing is left: clean up and take the pod off the API."""


Step = (
    PrepareVolumes
    | StartSandbox
    | StopSandbox
    | PullImage
    | StartContainer
    | StopContainer
    | RemoveContainer
    | Finalize
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The steps to take now, when to look again even if nothing happens, and why."""

    steps: tuple[Step, ...] = ()
    wake_at: float | None = None
    why: str = ""


def decide(pod: Pod, seen: Observed) -> Decision:
    """The next steps for `pod`."""
    if pod.metadata.deletion_timestamp is not None:
        return _terminate(pod, seen)
    if seen.refused is not None:
        return _stop_everything(pod, seen, why="refused by this node", grace_s=0.0)
    if pod.is_terminal:
        return _stop_everything(pod, seen, why="the pod has ended", grace_s=pod.grace_s)
    if (deadline := _deadline(pod, seen)) is not None and seen.now >= deadline:
        return _stop_everything(pod, seen, why="active for longer than its deadline", grace_s=pod.grace_s)
    if is_over(pod, seen):
        return _stop_everything(pod, seen, why="all containers have ended for good", grace_s=pod.grace_s)
    decision = _run(pod, seen)
    return _with_wake(decision, deadline)


def is_over(pod: Pod, seen: Observed) -> bool:
    """Whether no container will start any more: all regular ones ended for good, or an init one failed for good."""
    if _failed_init(pod, seen) is not None:
        return True
    policy = pod.spec.restart_policy
    for container in pod.spec.containers:
        newest = seen.newest(container.name)
        if newest is None or newest.state.phase is not Phase.EXITED:
            return False
        if should_restart(policy, newest.state.exit_code):
            return False
    return bool(pod.spec.containers)


def is_past_deadline(pod: Pod, seen: Observed) -> bool:
    """Whether the pod has been active for longer than it may."""
    deadline = _deadline(pod, seen)
    return deadline is not None and seen.now >= deadline


def inits_done(pod: Pod, seen: Observed) -> bool:
    """Whether the regular containers may start, or have started: what the condition Initialized says."""
    sandbox = seen.sandbox
    for container in pod.spec.init_containers:
        newest = seen.newest(container.name)
        if newest is None or (sandbox is not None and newest.sandbox_id != sandbox.state.id):
            return _regulars_began(pod, seen)
        if is_sidecar(container):
            if newest.state.phase is not Phase.RUNNING or not health_of(container, newest, seen).started:
                return _regulars_began(pod, seen)
        elif newest.state.phase is not Phase.EXITED or newest.state.exit_code != 0:
            return _regulars_began(pod, seen)
    return True


def health_of(container: Container, running: Seen, seen: Observed) -> Health:
    """What the probes say of a running container; before the first answer it is neither started nor ready."""
    found = seen.health.get(running.state.id)
    if found is not None:
        return found
    return Health(started=container.startup_probe is None, ready=_is_unprobed(container))


def _is_unprobed(container: Container) -> bool:
    return container.startup_probe is None and container.readiness_probe is None


def _regulars_began(pod: Pod, seen: Observed) -> bool:
    sandbox = seen.sandbox
    return sandbox is not None and any(
        one.sandbox_id == sandbox.state.id
        for container in pod.spec.containers
        for one in seen.containers.get(container.name, ())
    )


def _failed_init(pod: Pod, seen: Observed) -> Seen | None:
    for container in pod.spec.init_containers:
        newest = seen.newest(container.name)
        if newest is None or is_sidecar(container) or newest.state.phase is not Phase.EXITED:
            continue
        if newest.state.exit_code != 0 and pod.spec.restart_policy == "Never":
            return newest
    return None


def _deadline(pod: Pod, seen: Observed) -> float | None:
    limit = pod.spec.active_deadline_seconds
    return None if limit is None or not seen.started_at else seen.started_at + limit


# --- ending ---


def _terminate(pod: Pod, seen: Observed) -> Decision:
    decision = _stop_everything(pod, seen, why="the pod is being deleted", grace_s=pod.grace_s)
    if decision.steps or seen.stopping or seen.running or seen.sandbox:
        return decision
    if not seen.reported:
        return Decision(why="waiting for the last status to reach the API")
    return Decision(steps=(Finalize(),), why="everything has stopped")


def _stop_everything(pod: Pod, seen: Observed, *, why: str, grace_s: float) -> Decision:
    """Stop the regular containers, then the sidecars in reverse order, then the sandbox."""
    running = [one for one in seen.running if one.state.id not in seen.stopping]
    order = {container.name: place for place, container in enumerate(pod.spec.init_containers)}
    regulars = [one for one in running if one.name not in order]
    if regulars:
        return Decision(steps=tuple(_stop(one, grace_s, why) for one in regulars), why=why)
    if any(one.name not in order for one in seen.running):
        return Decision(why="waiting for containers to stop")
    if running:
        last = max(running, key=lambda one: order[one.name])
        if all(order[one.name] <= order[last.name] for one in seen.running):
            return Decision(steps=(_stop(last, grace_s, why),), why=why)
    if seen.running:
        return Decision(why="waiting for containers to stop")
    sandboxes = [one for one in seen.sandboxes if one.state.phase is Phase.RUNNING]
    return Decision(steps=tuple(StopSandbox(one.state.id) for one in sandboxes), why=why)


def _stop(one: Seen, grace_s: float, why: str) -> StopContainer:
    return StopContainer(one.state.id, one.name, grace_s, why)


# --- running ---


def _run(pod: Pod, seen: Observed) -> Decision:
    whole = seen.failures.get("")
    if whole is not None and seen.now < whole.retry_at:
        return Decision(wake_at=whole.retry_at, why=whole.message)
    if seen.sandbox is None:
        return _begin(pod, seen)
    if not seen.volumes_ready:
        # Adopted after an agent's restart: the files are made sure of without touching what runs.
        return Decision(steps=(PrepareVolumes(),), why="volumes not checked yet")

    steps: list[Step] = []
    wakes: list[float] = []
    for container in _wanted_now(pod, seen):
        _one_container(pod, container, seen, steps, wakes)
    steps += _old_attempts(seen)
    return Decision(steps=tuple(steps), wake_at=min(wakes, default=None), why="" if not steps else "as the spec says")


def _begin(pod: Pod, seen: Observed) -> Decision:
    stale = [one for one in seen.running if one.state.id not in seen.stopping]
    if stale:
        # Without their sandbox they have no network; they start again in the next one.
        return Decision(steps=tuple(_stop(one, pod.grace_s, "the pod's sandbox has ended") for one in stale), why="")
    if seen.running:
        return Decision(why="waiting for containers of the last sandbox to stop")
    dead = tuple(RemoveContainer(one.state.id) for one in seen.sandboxes)
    attempt = max((one.attempt for one in seen.sandboxes), default=-1) + 1
    prepare: tuple[Step, ...] = () if seen.volumes_ready else (PrepareVolumes(),)
    first = pod.spec.init_containers[:1] or pod.spec.containers
    pulls = tuple(PullImage(container.name) for container in first if container.name not in seen.pulls)
    return Decision(steps=(*dead, *prepare, *pulls, StartSandbox(attempt)), why="no sandbox")


def _wanted_now(pod: Pod, seen: Observed) -> list[Container]:
    """The containers whose turn it is: init containers one after another, then the regular ones together."""
    sandbox = seen.sandbox
    assert sandbox is not None
    began = _regulars_began(pod, seen)
    wanted: list[Container] = []
    for container in pod.spec.init_containers:
        sidecar = is_sidecar(container)
        if began and not sidecar:
            continue
        newest = seen.newest(container.name)
        if newest is None or newest.sandbox_id != sandbox.state.id:
            wanted.append(container)
            if not began:
                return wanted
            continue
        state = newest.state
        if not sidecar and state.phase is Phase.EXITED and state.exit_code == 0:
            continue
        wanted.append(container)
        if sidecar and ((state.phase is Phase.RUNNING and health_of(container, newest, seen).started) or began):
            continue
        return wanted
    return [*wanted, *pod.spec.containers]


def _one_container(pod: Pod, container: Container, seen: Observed, steps: list[Step], wakes: list[float]) -> None:
    """Add what one container needs."""
    sandbox = seen.sandbox
    assert sandbox is not None
    newest = seen.newest(container.name)
    if newest is not None and newest.state.phase is Phase.RUNNING:
        if newest.state.id in seen.stopping:
            return
        health = health_of(container, newest, seen)
        if newest.sandbox_id != sandbox.state.id:
            steps.append(_stop(newest, pod.grace_s, "the pod's sandbox has ended"))
        elif newest.spec_hash != spec_hash(container):
            steps.append(
                _stop(newest, pod.grace_s, f"Container {container.name} definition changed, will be restarted")
            )
        elif not health.live:
            grace_s = pod.grace_s if health.grace_s is None else health.grace_s
            steps.append(_stop(newest, grace_s, health.why))
        return
    if newest is not None and newest.state.phase is Phase.CREATED:
        # The agent ended between creating and starting it.
        steps.append(RemoveContainer(newest.state.id))
        return
    if newest is not None and newest.sandbox_id == sandbox.state.id and not _may_restart(pod, container, newest, seen):
        return
    if newest is not None and newest.sandbox_id == sandbox.state.id and (at := restart_at(newest)) > seen.now:
        wakes.append(at)
        return
    _start(container, newest, seen, steps, wakes)


def _may_restart(pod: Pod, container: Container, ended: Seen, seen: Observed) -> bool:
    if is_sidecar(container):
        return True
    policy = pod.spec.restart_policy
    if container in pod.spec.init_containers:
        policy = "Never" if policy == "Never" else "OnFailure"
    return should_restart(policy, ended.state.exit_code)


def _start(container: Container, newest: Seen | None, seen: Observed, steps: list[Step], wakes: list[float]) -> None:
    failure = seen.failures.get(container.name)
    if failure is not None and seen.now < failure.retry_at:
        wakes.append(failure.retry_at)
        return
    pull = seen.pulls.get(container.name)
    if pull is None:
        steps.append(PullImage(container.name))
        return
    match pull.phase:
        case PullPhase.PRESENT:
            steps.append(StartContainer(container.name, 0 if newest is None else newest.attempt + 1))
        case PullPhase.FAILED | PullPhase.BACKING_OFF | PullPhase.NEVER | PullPhase.INVALID:
            if seen.now >= pull.retry_at:
                steps.append(PullImage(container.name))
            else:
                wakes.append(pull.retry_at)
        case PullPhase.PULLING:
            return


def _old_attempts(seen: Observed) -> list[Step]:
    """All but the newest two of each container: the newest, and the one before it for `logs --previous`."""
    return [
        RemoveContainer(one.state.id)
        for found in seen.containers.values()
        for one in found[2:]
        if one.state.phase is not Phase.RUNNING
    ]


def _with_wake(decision: Decision, at: float | None) -> Decision:
    if at is None:
        return decision
    wake_at = at if decision.wake_at is None else min(at, decision.wake_at)
    return Decision(steps=decision.steps, wake_at=wake_at, why=decision.why)
