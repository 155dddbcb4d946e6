"""Builders for the node agent: pods, what is seen of them, a whole agent's pod side on a fake runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from node_agent.images.pulls import ImagePulls
from node_agent.pods import labels
from node_agent.pods.context import PodContext
from node_agent.pods.facts import NodeFacts
from node_agent.pods.labels import ContainerKind, Seen
from node_agent.pods.observed import Observed
from node_agent.pods.orphans import sweep_for_ever
from node_agent.pods.references import PodReferences
from node_agent.pods.reporting import StatusReporter
from node_agent.pods.worker import PodWorkers
from node_agent.probes.ask import Asker
from node_agent.runtime.base import ContainerState, Phase
from node_agent.runtime.fake import FakeRuntime
from node_agent.runtime.pause import PAUSE_IMAGE
from node_agent.runtime.watching import ContainerWatch
from node_agent.volumes.tokens import PodTokens
from orchestrator.api.resources import Resource
from orchestrator.api.views.meta import MetaView, ObjectMeta, ObjectReference
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.errors import NotFound, Unreachable
from orchestrator.machinery.tasks import run_together
from tests.support.time import LoopClock

NOW = 1_000_000.0

P = ParamSpec("P")
T = TypeVar("T")


def a_container(name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container of a pod's spec, in the wire's words."""
    return {"name": name, "image": "busybox:1.36", **fields}


def a_pod(
    name: str = "web",
    *,
    containers: list[dict[str, Any]] | None = None,
    deleted: bool = False,
    grace_s: int | None = None,
    status: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Pod:
    """A pod bound to node n1."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "labels": labels or {},
        "annotations": annotations or {},
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        metadata["deletionGracePeriodSeconds"] = 30 if grace_s is None else grace_s
    body = {
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": containers or [a_container()], **spec},
        "status": status or {},
    }
    return msgspec.convert(body, Pod)


def a_seen(
    name: str = "main",
    *,
    phase: Phase = Phase.RUNNING,
    kind: ContainerKind = ContainerKind.REGULAR,
    attempt: int = 0,
    exit_code: int = 0,
    ended: float = NOW,
    started: float = NOW - 5,
    backoff_s: float = 0.0,
    sandbox: str = "sandbox",
    spec: str = "",
    container_id: str = "",
    error: str = "",
    oom: bool = False,
) -> Seen:
    """A container of the pod, as it is seen."""
    state = ContainerState(
        id=container_id or f"{name}-{attempt}",
        name=f"{name}-{attempt}",
        labels={},
        phase=phase,
        image="busybox:1.36",
        image_id="sha256:1",
        exit_code=exit_code,
        error=error,
        oom_killed=oom,
        pid=1 if phase is Phase.RUNNING else 0,
        started_at=started if phase is not Phase.CREATED else 0.0,
        finished_at=ended if phase is Phase.EXITED else 0.0,
        created_at=started,
        address="10.244.0.2" if kind is ContainerKind.PAUSE and phase is Phase.RUNNING else "",
    )
    pod = a_pod(containers=[a_container(name)])
    return Seen(
        state=state,
        pod_uid="uid-web",
        name=name,
        kind=kind,
        attempt=attempt,
        sandbox_id=sandbox,
        spec_hash=spec or labels.spec_hash(pod.spec.containers[0]),
        backoff_s=backoff_s,
    )


def a_sandbox(*, phase: Phase = Phase.RUNNING, attempt: int = 0) -> Seen:
    """The pod's pause container."""
    return a_seen("POD", phase=phase, kind=ContainerKind.PAUSE, attempt=attempt, container_id="sandbox")


def an_observation(*seen: Seen, sandbox: Seen | None = None, **fields: Any) -> Observed:
    """A pod with a running sandbox, its volumes ready, and these containers (newest first)."""
    containers: dict[str, tuple[Seen, ...]] = {}
    for one in seen:
        containers[one.name] = (*containers.get(one.name, ()), one)
    given = {"now": NOW, "volumes_ready": True, "started_at": NOW - 100, **fields}
    return Observed(sandboxes=(a_sandbox() if sandbox is None else sandbox,), containers=containers, **given)


class FakeApi:
    """The few calls of the client that pods need, in memory: statuses patched, pods taken off, objects read."""

    def __init__(self) -> None:
        self.statuses: list[tuple[str, Any]] = []
        self.taken_off: list[str] = []
        self.objects: dict[tuple[str, str], Any] = {}
        self.is_unreachable = False

    async def get(self, resource: Resource, name: str, namespace: str = "", *, into: Any) -> Any:
        """An object that the test has put there."""
        self._check()
        found = self.objects.get((resource.plural, name))
        if found is None:
            raise NotFound(f'{resource.plural} "{name}" not found')
        return found

    async def patch(self, resource: Resource, name: str, body: Any, namespace: str = "", **_: Any) -> MetaView:
        """Remember a status; each write is one revision."""
        self._check()
        self.statuses.append((name, body["status"]))
        return MetaView(metadata=ObjectMeta(name=name, resource_version=str(len(self.statuses))))

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "", **_: Any) -> bytes:
        """Remember that a pod was taken off."""
        self._check()
        self.taken_off.append(uid)
        return b"{}"

    def _check(self) -> None:
        if self.is_unreachable:
            raise Unreachable("no answer")

    def status(self, name: str) -> Any:
        """The last status of a pod."""
        return next((status for pod, status in reversed(self.statuses) if pod == name), None)


class CallsAtOnce(BlockingCalls):
    """Blocking calls without threads: while one of those is at work, virtual time goes by as fast as real time."""

    def __init__(self) -> None:
        super().__init__("none", threads=1)

    async def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` here, when the loop has had its turn."""
        await asyncio.sleep(0)
        return fn(*args, **kwargs)


class FakeEvents:
    """Takes events, keeps their reasons."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def event(self, regarding: ObjectReference, *, type: str, reason: str, message: str) -> None:
        """Remember the reason."""
        self.reasons.append(reason)


class FakeInformer:
    """A cache that a test fills."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.handlers: list[Any] = []
        self.undecodable_uids: frozenset[str] = frozenset()

    def values(self) -> list[Any]:
        """All objects."""
        return list(self.objects.values())

    def subscribe(self, handler: Any) -> None:
        """Tell of what is there, and of every change."""
        self.handlers.append(handler)
        for view in self.values():
            handler(None, view)

    async def wait_synced(self) -> None:
        """It always is."""

    def set(self, view: Any) -> None:
        """Add or replace."""
        old = self.objects.get(view.metadata.key)
        self.objects[view.metadata.key] = view
        for handler in self.handlers:
            handler(old, view)

    def remove(self, view: Any) -> None:
        """Remove."""
        old = self.objects.pop(view.metadata.key)
        for handler in self.handlers:
            handler(old, None)


class PodSide:
    """An agent's care for pods on a fake runtime, with a fake API. Use as `async with PodSide(state_dir) as side`."""

    def __init__(self, state_dir: Path, *, runtime: FakeRuntime | None = None, pods: Any = None) -> None:
        clock = LoopClock()
        self.api = FakeApi()
        self.events = FakeEvents()
        self.pods = pods or FakeInformer()
        self.runtime = runtime or FakeRuntime(clock)
        self.runtime.add_image("busybox:1.36")
        self.runtime.add_image(PAUSE_IMAGE)
        client: Any = self.api
        services: Any = FakeInformer()
        recorder: Any = self.events
        self.context = PodContext(
            runtime=self.runtime,
            watch=ContainerWatch(self.runtime, group_label=labels.POD_UID),
            pulls=ImagePulls(self.runtime, clock),
            references=PodReferences(client, services, clock),
            tokens=PodTokens(client, clock),
            reporter=StatusReporter(client, clock),
            recorder=recorder,
            asker=Asker(self.runtime),
            files=CallsAtOnce(),
            clock=clock,
            facts=NodeFacts(name="n1", address="10.0.0.1"),
            state_dir=state_dir,
            network="wherry",
            pause_image=PAUSE_IMAGE,
        )
        self.context.network_ready.set()
        self.workers = PodWorkers(
            self.context, self.pods, node_labels={}, allocatable={"cpu": "4", "memory": "8Gi", "pods": "110"}
        )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PodSide:
        async def run() -> None:
            context = self.context
            async with context.asker:
                await run_together(
                    ("containers", context.watch.run),
                    ("pulls", context.pulls.run),
                    ("statuses", context.reporter.run),
                    ("workers", self.workers.run),
                    ("orphans", lambda: sweep_for_ever(context, self.workers, cast(Any, self.pods))),
                )

        self._running = asyncio.create_task(run(), name="pod-side")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self.context.files.close()

    async def wait(self, holds: Callable[[], bool], *, timeout_s: float = 1000.0) -> None:
        """Until `holds`, looking at short intervals of (virtual) time."""
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 - whatever a test wants to know has no event of its own
                await asyncio.sleep(0.05)

    async def wait_phase(self, name: str, phase: str) -> Any:
        """Until the API has been told that phase; returns the status."""
        await self.wait(lambda: (self.api.status(name) or {}).get("phase") == phase)
        return self.api.status(name)

    def running(self, name: str = "main") -> list[str]:
        """The ids of running containers of that name."""
        return [
            state.id
            for state in self.context.watch.states()
            if state.labels.get(labels.CONTAINER_NAME) == name and state.phase is Phase.RUNNING
        ]
