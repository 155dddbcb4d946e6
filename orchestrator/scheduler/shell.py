"""The scheduler's shell: watches pods and nodes, places one pod after the other, and binds them in a pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from orchestrator.api.resources import NODES, PODS
from orchestrator.api.views.meta import Condition, ObjectMeta, ObjectReference
from orchestrator.api.views.scheduling import NodeView, PodView
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.clock import Clock, timestamp
from orchestrator.machinery.errors import ApiError, Conflict, NotFound, Unreachable
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.recorder import EventRecorder
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

    @property
    def has_synced(self) -> bool:
        """Whether nodes and pods are known, so that placing may start."""
        return self._nodes.has_synced and self._pods.has_synced

    async def run(self) -> None:
        """Watch, place and bind, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run(), name="events")
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
            self._pending.add(key, priority=new.spec.priority)
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
        uid = pod.metadata.uid
        request = self._requests.get(uid) or request_of(pod)
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
                self._pending.refused(pod.metadata.key, priority=pod.spec.priority, now_s=self._clock.monotonic())
                await self._tell_unschedulable(pod, str(outcome))

    async def _bind(self, pod: PodView, request: PodRequest, node: str) -> None:
        meta = pod.metadata
        try:
            await self._client.create(
                PODS, _binding(pod, node), meta.namespace, into=bytes, name=meta.name, subresource="binding"
            )
        except (NotFound, Conflict) as gone:
            # Deleted, or bound by somebody else: the watch says which, and counts it where it belongs.
            logger.info("pod.not_bound", pod=meta.key, node=node, why=str(gone)[:256])
            self._unassume(meta, node)
            ATTEMPTS.labels("error").inc()
        except (ApiError, Unreachable) as refused:
            logger.warning("pod.not_bound", pod=meta.key, node=node, why=str(refused)[:256])
            self._unassume(meta, node)
            self._requests[meta.uid] = request
            self._pending.refused(meta.key, priority=pod.spec.priority, now_s=self._clock.monotonic())
            self._pending.wake()
            self._changed.set()
            ATTEMPTS.labels("error").inc()
        else:
            ATTEMPTS.labels("scheduled").inc()
            seen_s = self._seen_s.pop(meta.uid, None)
            if seen_s is not None:
                SCHEDULED_SECONDS.observe(self._clock.monotonic() - seen_s)
            text = f"Successfully assigned {meta.key} to {node}"
            self._recorder.event(_reference(pod), type="Normal", reason="Scheduled", message=text)
        finally:
            self._bindings.release()

    def _unassume(self, meta: ObjectMeta, node: str) -> None:
        seen = self._pods.get(meta.key)
        # The binding may have been written, and the watch have told of it, though its reply was lost.
        is_bound = seen is not None and seen.metadata.uid == meta.uid and seen.spec.node_name == node
        pod_was_seen_elsewhere = self._table.node_of(meta.uid) != node
        if not is_bound and not pod_was_seen_elsewhere:
            self._table.remove_pod(meta.uid)

    async def _tell_unschedulable(self, pod: PodView, message: str) -> None:
        old = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        if old is not None and old.status == "False" and old.message == message:
            return
        logger.info("pod.unschedulable", pod=pod.metadata.key, why=message)
        self._recorder.event(_reference(pod), type="Warning", reason="FailedScheduling", message=message)
        body = {
            "metadata": {"uid": pod.metadata.uid},
            "status": {"conditions": [_condition(old, message, self._clock.now())]},
        }
        try:
            await self._client.patch(
                PODS,
                pod.metadata.name,
                body,
                pod.metadata.namespace,
                into=bytes,
                subresource="status",
                patch_type=STRATEGIC_PATCH,
            )
        except (ApiError, Unreachable) as refused:
            logger.debug("pod.status_not_written", pod=pod.metadata.key, why=str(refused)[:256])


def _binding(pod: PodView, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def _condition(old: Condition | None, message: str, now: float) -> dict[str, Any]:
    kept = old is not None and old.status == "False" and old.last_transition_time
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": kept or timestamp(now),
    }


def _reference(pod: PodView) -> ObjectReference:
    meta = pod.metadata
    return ObjectReference(api_version="v1", kind="Pod", name=meta.name, namespace=meta.namespace, uid=meta.uid)


async def run(client: Client, clock: Clock) -> None:
    """Schedule pods, for ever; the caller sees to it that only one scheduler of this name does so at a time."""
    await Scheduler(client, clock).run()
