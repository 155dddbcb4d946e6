"""The scheduler's shell: watches pods and nodes, places one pod after the other, and binds them in a pipeline."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from prometheus_client import Counter, Gauge, Histogram

from orchestrator.api.resources import NODES, PODS
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.scheduling import NodeView, PodView
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.machinery.worker import going_on
from orchestrator.scheduler.conditions import ConditionWriter, reference_to
from orchestrator.scheduler.pending import PendingPods
from orchestrator.scheduler.place import FixedCache, Placed, Unschedulable, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE, Profile
from orchestrator.scheduler.request import PodRequest, request_of
from orchestrator.scheduler.table import NodeTable

logger = get_logger(__name__)

NAME = "default-scheduler"

# Bindings under way at once: enough to keep the API server busy while the next pods are placed.
_BINDINGS_MAX = 32
# Pods placed before the loop turns to the watch again, so that a long queue does not blind the scheduler.
_PLACED_IN_A_ROW_MAX = 16

ATTEMPTS = Counter("wherry_scheduling_attempts_total", "Attempts to place a pod, by result.", ["result"])
PLACE_SECONDS = Histogram(
    "wherry_scheduling_algorithm_duration_seconds",
    "Time to filter, score and pick for one pod.",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
)
SCHEDULED_SECONDS = Histogram(
    "wherry_pod_scheduling_duration_seconds",
    "From first seeing a pod to its binding.",
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
)
PENDING = Gauge("wherry_pending_pods", "Pods waiting to be placed, by queue.", ["queue"])


_PLACING_FAILED = "trying to place the pod failed; the scheduler's log says why"


class _Turn(TypedDict):
    """What the queue is told of a pod, besides its key."""

    uid: str
    priority: int
    now_s: float


class Scheduler:
    """Places the pods whose `schedulerName` is ours. `run` never returns."""

    def __init__(self, client: Client, clock: Clock, *, profile: Profile = DEFAULT_PROFILE, name: str = NAME) -> None:
        self._client = client
        self._clock = clock
        self._profile = profile
        self._name = name
        self._nodes: Informer[NodeView] = Informer(client, NODES, NodeView)
        self._pods: Informer[PodView] = Informer(client, PODS, PodView)
        self._table = NodeTable()
        self._fixed = FixedCache()
        self._pending = PendingPods()
        self._requests: dict[str, PodRequest] = {}
        self._seen_s: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._bindings = asyncio.Semaphore(_BINDINGS_MAX)
        self._recorder = EventRecorder(client, clock, component=name)
        self._conditions = ConditionWriter(client, clock, self._recorder, self._pods.get)

    @property
    def has_synced(self) -> bool:
        """Whether nodes and pods are known, so that placing may start."""
        return self._nodes.has_synced and self._pods.has_synced

    async def run(self) -> None:
        """Watch, place and bind, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run(), name="events")
            group.create_task(self._conditions.run(), name="conditions")
            self._nodes.subscribe(self._node_changed)
            group.create_task(self._nodes.run(), name="watch-nodes")
            await self._nodes.wait_synced()
            self._pods.subscribe(self._pod_changed)
            group.create_task(self._pods.run(), name="watch-pods")
            await self._pods.wait_synced()
            await self._place_forever(group)

    def _node_changed(self, old: NodeView | None, new: NodeView | None) -> None:
        if new is None:
            assert old is not None
            self._table.remove_node(old.metadata.name)
        elif self._table.set_node(new):
            self._pending.wake()
            self._changed.set()

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        pod = new or old
        assert pod is not None
        uid, key = pod.metadata.uid, pod.metadata.key
        if old is not None and new is not None and old.metadata.uid != uid:
            self._pod_changed(old, None)  # deleted and made again between two looks
        if new is None or new.is_terminal:
            self._forget(uid, key)
            return
        if new.spec.node_name:
            if self._table.node_of(uid) != new.spec.node_name:
                self._table.add_pod(self._requests.get(uid) or request_of(new), new.spec.node_name)
            self._requests.pop(uid, None)
            self._pending.remove(key)
            return
        if not self._is_ours(new) or self._table.node_of(uid) is not None:
            return  # somebody else's, or placed already and its binding is under way
        if old is None or old.spec != new.spec or old.metadata.labels != new.metadata.labels:
            self._requests[uid] = request_of(new)
            self._seen_s.setdefault(uid, self._clock.monotonic())
            self._pending.add(key, **self._turn(new))
            self._changed.set()

    def _forget(self, uid: str, key: str) -> None:
        self._requests.pop(uid, None)
        self._seen_s.pop(uid, None)
        self._pending.remove(key)
        if self._table.remove_pod(uid):
            self._pending.wake()
            self._changed.set()

    def _is_ours(self, pod: PodView) -> bool:
        waits = pod.metadata.deletion_timestamp is not None or pod.spec.scheduling_gates
        return pod.spec.scheduler_name == self._name and not waits

    async def _place_forever(self, group: asyncio.TaskGroup) -> None:
        in_a_row = 0
        while True:
            key = self._pending.pop(now_s=self._clock.monotonic())
            PENDING.labels("active").set(len(self._pending) - self._pending.unschedulable_count)
            PENDING.labels("unschedulable").set(self._pending.unschedulable_count)
            if key is None:
                in_a_row = 0
                await self._wait_changed()
                continue
            pod = self._pods.get(key)
            if pod is None or pod.spec.node_name or not self._is_ours(pod):
                continue
            await self._place_one(pod, group)
            in_a_row += 1
            if in_a_row >= _PLACED_IN_A_ROW_MAX:
                in_a_row = 0
                await asyncio.sleep(0)

    async def _wait_changed(self) -> None:
        self._changed.clear()
        at_s = self._pending.next_at_s()
        timeout_s = None if at_s is None else max(0.0, at_s - self._clock.monotonic()) + 0.001
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return  # somebody's back-off has ended

    async def _place_one(self, pod: PodView, group: asyncio.TaskGroup) -> None:
        outcome = None
        with going_on("pod.placing_failed", key=pod.metadata.key):
            request = self._requests.get(pod.metadata.uid) or request_of(pod)
            started = self._clock.monotonic()
            outcome = place(request, self._table, self._profile, self._fixed)
            PLACE_SECONDS.observe(self._clock.monotonic() - started)
        match outcome:
            case Placed(node, _):
                await self._bindings.acquire()
                # Counted from here on, before the API knows, so that the next pod sees the room as taken.
                self._table.add_pod(request, node)
                group.create_task(self._bind(pod, request, node), name=f"bind-{pod.metadata.key}")
            case Unschedulable():
                ATTEMPTS.labels("unschedulable").inc()
                self._pending.refused(pod.metadata.key, **self._turn(pod))
                self._conditions.refused(pod, reason="Unschedulable", message=str(outcome))
            case None:
                ATTEMPTS.labels("error").inc()
                self._pending.failed(pod.metadata.key, **self._turn(pod))
                self._conditions.refused(pod, reason="SchedulerError", message=_PLACING_FAILED)

    async def _bind(self, pod: PodView, request: PodRequest, node: str) -> None:
        meta = pod.metadata
        is_bound = False
        try:
            with going_on("pod.binding_failed", key=meta.key):
                is_bound = await self._post_binding(pod, node)
        finally:
            self._bindings.release()
        if is_bound:
            ATTEMPTS.labels("scheduled").inc()
            seen_s = self._seen_s.pop(meta.uid, None)
            if seen_s is not None:
                SCHEDULED_SECONDS.observe(self._clock.monotonic() - seen_s)
            text = f"Successfully assigned {meta.key} to {node}"
            self._recorder.event(reference_to(pod), type="Normal", reason="Scheduled", message=text)
        else:
            ATTEMPTS.labels("error").inc()
            self._unassume(meta, node)
            self._try_again(meta, request)

    async def _post_binding(self, pod: PodView, node: str) -> bool:
        """Bind; says whether the API server said yes. Without its yes the pod may still be bound, by us or others."""
        meta = pod.metadata
        try:
            await self._client.create(
                PODS, _binding(pod, node), meta.namespace, into=bytes, name=meta.name, subresource="binding"
            )
        except (ApiError, Unreachable) as refused:
            logger.warning("pod.not_bound", pod=meta.key, node=node, why=str(refused)[:256])
            return False
        return True

    def _try_again(self, meta: ObjectMeta, request: PodRequest) -> None:
        newest = self._pods.get(meta.key)
        if newest is None or newest.metadata.uid != meta.uid or newest.spec.node_name:
            return  # the watch has told what became of it
        self._requests[meta.uid] = request
        self._pending.failed(meta.key, **self._turn(newest))
        self._pending.wake()
        self._changed.set()

    def _turn(self, pod: PodView) -> _Turn:
        return {"uid": pod.metadata.uid, "priority": pod.spec.priority, "now_s": self._clock.monotonic()}

    def _unassume(self, meta: ObjectMeta, node: str) -> None:
        seen = self._pods.get(meta.key)
        # The binding may have been written, and the watch have told of it, though its reply was lost.
        is_bound = seen is not None and seen.metadata.uid == meta.uid and seen.spec.node_name == node
        pod_was_seen_elsewhere = self._table.node_of(meta.uid) != node
        if not is_bound and not pod_was_seen_elsewhere:
            self._table.remove_pod(meta.uid)


def _binding(pod: PodView, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


async def run(client: Client, clock: Clock) -> None:
    """Schedule pods, for ever; the caller sees to it that only one scheduler of this name does so at a time."""
    await Scheduler(client, clock).run()
