"""One pod's task: observe, decide, take the steps, report; again whenever something about the pod changes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from node_agent import metrics
from node_agent.pods import labels
from node_agent.pods.context import PodContext
from node_agent.pods.decide import Decision, Finalize, Step, StopContainer, decide
from node_agent.pods.labels import Seen
from node_agent.pods.observed import Failure, Observed, Pull, PullPhase, group
from node_agent.pods.operations import Operations
from node_agent.pods.status import status_of
from node_agent.pods.stopping import Stopping
from node_agent.pods.telling import tell_of_back_offs
from node_agent.probes.ask import Target
from node_agent.probes.probing import Probing
from node_agent.runtime.base import NoSuchContainer, NoSuchImage, Phase, RuntimeRefused, RuntimeUnreachable
from orchestrator.api.objects import Object
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.pods import Container, Pod
from orchestrator.machinery.clock import parse_timestamp, timestamp
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Nothing waits longer than this for a look, whatever was missed.
_LOOK_AGAIN_S = 300.0


class PodShell:
    """Takes care of one pod, identified by its uid. `update` and `vanish` say what the API has; `run` does the rest."""

    def __init__(self, context: PodContext, pod: Pod, *, refused: tuple[str, str] | None = None) -> None:
        self.pod = pod
        self.refused = refused
        self.is_gone = False
        self.pulls: dict[str, Pull] = {}
        self.failures: dict[str, Failure] = {}
        self.volumes: dict[str, str] | None = None
        self._context = context
        self._operations = Operations(context, self)
        self._woken = asyncio.Event()
        self._stopping: dict[str, Stopping] = {}
        self._probing: dict[str, tuple[Probing, asyncio.Task[None]]] = {}
        self._messages: dict[str, str] = {}
        self._status: Object = {}
        self._first_seen = context.clock.monotonic()
        self._has_run = False
        self._finished = False
        self._group: asyncio.TaskGroup | None = None
        known = pod.status.start_time
        self._started_at = parse_timestamp(known) if known else float(int(context.clock.now()))

    # --- what others say ---

    def update(self, pod: Pod) -> None:
        """The API has a newer version of the pod."""
        self.pod = pod
        if self._status and _ready(pod.status.conditions) != _ready_told(self._status):
            # Somebody thought that this node was lost, and said so on its pods: it is not.
            self._context.reporter.overwritten(pod)
        self.wake()

    def vanish(self) -> None:
        """The API no longer has the pod: end it, tell nobody."""
        self.is_gone = True
        if self.pod.metadata.deletion_timestamp is None:
            deleted = timestamp(self._context.clock.now())
            meta = msgspec.structs.replace(self.pod.metadata, deletion_timestamp=deleted)
            self.pod = msgspec.structs.replace(self.pod, metadata=meta)
        self.wake()

    def wake(self) -> None:
        """Look again soon."""
        self._woken.set()

    # --- what others ask ---

    @property
    def pod_ip(self) -> str:
        """The pod's address, once it has one."""
        if self.pod.spec.host_network:
            return self._context.facts.address
        running = self._sandbox_address()
        return running or self.pod.status.pod_ip

    @property
    def sandbox_pid(self) -> int:
        """The process that holds the pod's network; 0 while nothing does."""
        sandboxes, _ = self.seen()
        return next((one.state.pid for one in sandboxes if one.state.phase is Phase.RUNNING), 0)

    @property
    def status(self) -> Object:
        """The status as last computed."""
        return self._status

    def seen(self) -> tuple[tuple[Seen, ...], dict[str, tuple[Seen, ...]]]:
        """The pod's sandboxes and, by name, its containers."""
        states = self._context.watch.grouped(self.pod.metadata.uid)
        return group([one for one in map(labels.read, states) if one is not None])

    def container(self, name: str) -> Container | None:
        """A container of the spec."""
        everything = (*self.pod.spec.containers, *self.pod.spec.init_containers)
        return next((one for one in everything if one.name == name), None)

    def _sandbox_address(self) -> str:
        sandboxes, _ = self.seen()
        return next((one.state.address for one in sandboxes if one.state.phase is Phase.RUNNING), "")

    # --- the loop ---

    async def run(self) -> None:
        """Care for the pod until it is over and gone. Raises (a group of) what it cannot cope with; call it again."""
        self._stopping.clear()
        self._probing.clear()
        async with asyncio.TaskGroup() as tasks:
            self._group = tasks
            while not self._finished:
                self._woken.clear()
                # Without the runtime nothing is known, so nothing changes.
                await self._context.watch.wait_synced()
                decision = await self._look()
                if decision.steps:
                    await self._take(decision)
                else:
                    await self._wait(decision.wake_at)
            for _, task in self._probing.values():
                task.cancel()

    async def _look(self) -> Decision:
        await self._learn()
        self._keep_probing()
        seen = self._observe()
        self._report(seen)
        uid = self.pod.metadata.uid
        reported = self.is_gone or self._context.reporter.is_acknowledged(uid, self._status)
        return decide(self.pod, replace(seen, reported=reported))

    def _observe(self) -> Observed:
        sandboxes, containers = self.seen()
        for name, pull in self.pulls.items():
            container = self.container(name)
            if pull.phase is PullPhase.PULLING and container is not None:
                self.pulls[name] = self._operations.pull_of(container)
        return Observed(
            now=self._context.clock.now(),
            sandboxes=sandboxes,
            containers=containers,
            pulls=dict(self.pulls),
            health={container_id: probing.health for container_id, (probing, _) in self._probing.items()},
            failures=dict(self.failures),
            stopping=frozenset(self._stopping),
            volumes_ready=self.volumes is not None,
            refused=self.refused,
            started_at=self._started_at,
        )

    async def _learn(self) -> None:
        """Find out what a status needs beside the containers' states: images' names, termination messages."""
        _, containers = self.seen()
        for one in (one for found in containers.values() for one in found[:2]):
            state = one.state
            if state.image_id and state.image_id not in self._context.image_ids:
                with suppress(NoSuchImage):
                    self._operations.remember(await self._context.runtime.image(state.image_id))
                self._context.image_ids.setdefault(state.image_id, f"docker://{state.image_id}")
            if state.phase is Phase.EXITED and state.id not in self._messages:
                self._messages[state.id] = await self._operations.termination_message(one)
        current = {one.state.id for found in containers.values() for one in found}
        self._messages = {key: value for key, value in self._messages.items() if key in current}

    async def _take(self, decision: Decision) -> None:
        key = self.pod.metadata.key
        logger.debug("pod.step", pod=key, why=decision.why, steps=[type(step).__name__ for step in decision.steps])
        async with asyncio.TaskGroup() as steps:
            for step in decision.steps:
                steps.create_task(self._take_one(step), name=f"{type(step).__name__}-{key}")

    async def _take_one(self, step: Step) -> None:
        started = self._context.clock.monotonic()
        match step:
            case StopContainer(container_id, name, grace_s, why):
                self._stop(container_id, name, grace_s, why)
            case Finalize():
                await self._operations.finalize()
                self._finished = True
            case _:
                await self._operations.take(step)
        metrics.STEP_SECONDS.labels(type(step).__name__).observe(self._context.clock.monotonic() - started)

    async def _wait(self, wake_at: float | None) -> None:
        if self.pod.metadata.deletion_timestamp is not None:
            for stopping in self._stopping.values():
                stopping.shorten(self.pod.grace_s)
        delay_s = _LOOK_AGAIN_S if wake_at is None else max(0.01, wake_at - self._context.clock.now())
        with suppress(TimeoutError):
            async with asyncio.timeout(min(delay_s, _LOOK_AGAIN_S)):
                await self._woken.wait()

    # --- in the background ---

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run something beside the loop, for as long as the loop runs; the loop looks again when it ends."""
        assert self._group is not None

        async def guarded() -> None:
            try:
                await work
            except (RuntimeUnreachable, RuntimeRefused, NoSuchContainer) as lost:
                logger.info("pod.background.failed", pod=self.pod.metadata.key, task=name, why=str(lost)[:256])
            finally:
                self.wake()

        return self._group.create_task(guarded(), name=f"{name}-{self.pod.metadata.key}")

    def _stop(self, container_id: str, name: str, grace_s: float, why: str) -> None:
        if container_id in self._stopping:
            return
        context = self._context
        message = why if why.startswith("Container ") else f"Stopping container {name}"
        self._operations.told(name)("Normal", "Killing", message)
        stopping = Stopping(context.runtime, context.watch, context.clock, container_id=container_id, grace_s=grace_s)
        self._stopping[container_id] = stopping

        async def stop() -> None:
            try:
                told = self._operations.told(name)
                await stopping.run(self.container(name), context.asker, self.pod_ip, told)
            finally:
                self._stopping.pop(container_id, None)

        self.spawn(stop(), name=f"stop-{name}")

    async def refresh_files(self) -> None:
        """Bring files made from ConfigMaps, Secrets, the pod and tokens up to date. Raises ConfigProblem."""
        await self._operations.refresh()

    def stop_after_failed_hook(self, container_id: str, name: str, why: str) -> None:
        """A postStart hook failed: the container must not go on."""
        self._stop(container_id, name, self.pod.grace_s, why)

    def _keep_probing(self) -> None:
        """Have every running container probed. Before observing: a new probe knows what was last said."""
        _, containers = self.seen()
        everything = (one for found in containers.values() for one in found)
        running = {one.state.id: one for one in everything if one.state.phase is Phase.RUNNING}
        for container_id in [one for one in self._probing if one not in running]:
            self._probing.pop(container_id)[1].cancel()
        for container_id, one in running.items():
            container = self.container(one.name)
            if container is None or container_id in self._probing or not _is_probed(container):
                continue
            target = Target(container=container, container_id=container_id, address=self.pod_ip)
            told = self._operations.told(container.name)
            started, ready = self._last_said_of(container_id)
            probing = Probing(
                self._context.asker, target, changed=self.wake, told=told, was_started=started, was_ready=ready
            )
            task = self.spawn(probing.run(), name=f"probe-{container.name}")
            self._probing[container_id] = (probing, task)

    def _last_said_of(self, container_id: str) -> tuple[bool, bool]:
        """Whether a container was started and ready by our last status, or by the API's from before we ran."""
        api = self.pod.status
        for one in (
            *self._status.get("containerStatuses", ()),
            *self._status.get("initContainerStatuses", ()),
            *api.container_statuses,
            *api.init_container_statuses,
        ):
            if one.get("containerID") == f"docker://{container_id}" and "running" in one.get("state", {}):
                return bool(one.get("started")), bool(one.get("ready"))
        return False, False

    # --- telling ---

    def _report(self, seen: Observed) -> None:
        if self.is_gone:
            return
        context = self._context
        status = status_of(
            self._as_last_reported(),
            seen,
            context.facts,
            image_ids=context.image_ids,
            messages=self._messages,
            pod_ip=self.pod_ip,
        )
        if not self._has_run and status["phase"] == "Running":
            self._has_run = True
            metrics.POD_START_SECONDS.observe(context.clock.monotonic() - self._first_seen)
        tell_of_back_offs(self._context.recorder, self.pod, self._status, status)
        if status != self._status:
            logger.info("pod.status", pod=self.pod.metadata.key, phase=status["phase"], reason=status.get("reason"))
        self._status = status
        context.reporter.submit(self.pod, status, self.wake)

    def _as_last_reported(self) -> Pod:
        """The pod with the status that we know to be newer than the cache's: our own."""
        if not self._status:
            return self.pod
        mine = {one["type"]: one for one in self._status.get("conditions", ())}
        others = [one for one in self.pod.status.conditions if one.type not in _OWN_CONDITIONS]
        ours = [msgspec.convert(one, Condition) for one in mine.values() if one["type"] in _OWN_CONDITIONS]
        phase = self._status["phase"] if self._status["phase"] in ("Succeeded", "Failed") else self.pod.status.phase
        status = msgspec.structs.replace(
            self.pod.status,
            phase=phase,
            reason=self._status.get("reason") or self.pod.status.reason,
            message=self._status.get("message") or self.pod.status.message,
            conditions=(*ours, *others),
        )
        return msgspec.structs.replace(self.pod, status=status)


_OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def _ready(conditions: Sequence[Condition]) -> set[tuple[str, str]]:
    return {(one.type, one.status) for one in conditions if one.type in ("Ready", "ContainersReady")}


def _ready_told(status: Object) -> set[tuple[str, str]]:
    told = [(one["type"], one["status"]) for one in status.get("conditions", ())]
    return {one for one in told if one[0] in ("Ready", "ContainersReady")}


def _is_probed(container: Container) -> bool:
    probes = (container.startup_probe, container.readiness_probe, container.liveness_probe)
    return any(probe is not None for probe in probes)
