"""The scheduler's shell: watches pods and nodes, and gives one pod after the other its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TypedDict

from prometheus_client import Counter, Gauge, Histogram

from orchestrator.api.resources import NODES, PODS
from orchestrator.api.views.scheduling import NodeView, PodView
from orchestrator.api.views.sharing import Sharing
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.machinery.worker import going_on
from orchestrator.scheduler.binding import BindingPipeline, Reserved
from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.conditions import ConditionWriter, reference_to
from orchestrator.scheduler.pending import PendingPods
from orchestrator.scheduler.place import FixedCache, Placed, Unschedulable, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE, Profile
from orchestrator.scheduler.request import Demands, PodRequest
from orchestrator.scheduler.slim import slim
from orchestrator.scheduler.table import NodeTable
from orchestrator.scheduler.waking import WaitsFor

NAME = "default-scheduler"

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
_ACTIVE, _UNSCHEDULABLE = PENDING.labels("active"), PENDING.labels("unschedulable")


_PLACING_FAILED = "trying to place the pod failed; the scheduler's log says why"


class _Turn(TypedDict):
    """What the queue is told of a pod, besides its key."""

    uid: str
    priority: int
    now_s: float


class Scheduler:
    """Places the pods whose `schedulerName` is one of the profiles'. `run` never returns."""

    def __init__(self, client: Client, clock: Clock, *, profiles: Mapping[str, Profile] | None = None) -> None:
        self._client = client
        self._clock = clock
        self._profiles = {NAME: DEFAULT_PROFILE} if profiles is None else dict(profiles)
        self._nodes: Informer[NodeView] = Informer(client, NODES, NodeView)
        sharing = Sharing()
        self._pods: Informer[PodView] = Informer(client, PODS, PodView, keep=lambda pod: slim(pod, sharing))
        self._table = NodeTable()
        self._fixed = {name: FixedCache() for name in self._profiles}
        self._demands = Demands()
        self._pending: PendingPods[WaitsFor] = PendingPods()
        self._wakes_on = _declared(self._profiles.values())
        self._seen_s: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._recorders = {name: EventRecorder(client, clock, component=name) for name in self._profiles}
        self._conditions = ConditionWriter(client, clock, self._recorders, self._pods.get)

    @property
    def has_synced(self) -> bool:
        """Whether nodes and pods are known, so that placing may start."""
        return self._nodes.has_synced and self._pods.has_synced

    def failure(self) -> str | None:
        """What keeps it from knowing the cluster, for people; None when all is well."""
        return self._nodes.failure() or self._pods.failure()

    async def run(self) -> None:
        """Watch, place and bind, for ever."""
        async with asyncio.TaskGroup() as group:
            for name, recorder in self._recorders.items():
                group.create_task(recorder.run(), name=f"events-{name}")
            group.create_task(self._conditions.run(), name="conditions")
            self._nodes.subscribe(self._node_changed)
            group.create_task(self._nodes.run(), name="watch-nodes")
            await self._nodes.wait_synced()
            self._pods.subscribe(self._pod_changed)
            group.create_task(self._pods.run(), name="watch-pods")
            await self._pods.wait_synced()
            await self._place_forever(BindingPipeline(self._client, group, self._settled))

    def _node_changed(self, old: NodeView | None, new: NodeView | None) -> None:
        if new is None:
            assert old is not None
            if self._table.remove_node(old.metadata.name):
                self._happened(Change.NODE_REMOVED, old.metadata.name)
        else:
            self._happened(self._table.set_node(new), new.metadata.name)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        pod = new or old
        assert pod is not None
        uid, key = pod.metadata.uid, pod.metadata.key
        if old is not None and new is not None and old.metadata.uid != uid:
            self._pod_changed(old, None)  # deleted and made again between two looks
            old = None
        if new is None or new.is_terminal:
            self._seen_s.pop(uid, None)
            self._pending.remove(key)
            self._uncount(uid)
        elif new.spec.node_name:
            self._pending.remove(key)
            if self._table.node_of(uid) != new.spec.node_name or old is None or not _asks_the_same(old, new):
                self._count(self._demands.request_of(new), new.spec.node_name)
        elif not self._is_ours(new) or self._table.node_of(uid) is not None:
            return  # somebody else's, or placed already and its binding is under way
        elif old is None or old.spec != new.spec or old.metadata.labels != new.metadata.labels:
            self._seen_s.setdefault(uid, self._clock.monotonic())
            self._pending.add(key, **self._turn(new))
            self._changed.set()

    def _count(self, request: PodRequest, node: str) -> None:
        """Count a pod that is on a node. One that was counted before may take less there from now on."""
        self._uncount(request.uid)
        self._table.add_pod(request, node)
        self._happened(Change.POD_CAME, node, request)

    def _uncount(self, uid: str) -> None:
        node = self._table.node_of(uid)
        request = self._table.remove_pod(uid)
        if node is not None and request is not None:
            self._happened(Change.POD_WENT, node, request)

    def _happened(self, change: Change, node: str, pod: PodRequest | None = None) -> None:
        if not change & self._wakes_on:
            return
        happened = Happened(change, self._table.row_of(node), pod)

        def is_over(waits_for: WaitsFor) -> bool:
            with going_on("pod.waking_failed", key=waits_for.pod.uid):
                return waits_for.may_be_over(happened, self._table)
            return True  # in doubt; and what happened is counted, whoever cannot judge it

        if self._pending.wake(is_over):
            self._changed.set()

    def _is_ours(self, pod: PodView) -> bool:
        waits = pod.metadata.deletion_timestamp is not None or pod.spec.scheduling_gates
        return pod.spec.scheduler_name in self._profiles and not waits

    async def _place_forever(self, bindings: BindingPipeline) -> None:
        in_a_row = 0
        while True:
            key = self._pending.pop(now_s=self._clock.monotonic())
            _ACTIVE.set(len(self._pending) - self._pending.unschedulable_count)
            _UNSCHEDULABLE.set(self._pending.unschedulable_count)
            if key is None:
                in_a_row = 0
                await self._wait_changed()
                continue
            pod = self._pods.get(key)
            if pod is None or pod.spec.node_name or not self._is_ours(pod):
                continue
            await self._cycle(pod, bindings)
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

    async def _cycle(self, pod: PodView, bindings: BindingPipeline) -> None:
        """One turn of one pod: filter and score, reserve; its permit and binding go on beside the next pod's turn."""
        profile = self._profiles[pod.spec.scheduler_name]
        # Whatever fails on the way, nothing is bound that was not reserved.
        outcome: Placed | Unschedulable | None = None
        with going_on("pod.placing_failed", key=pod.metadata.key):
            request = self._demands.request_of(pod)
            started = self._clock.monotonic()
            picked = place(request, self._table, profile, self._fixed[pod.spec.scheduler_name])
            PLACE_SECONDS.observe(self._clock.monotonic() - started)
            if isinstance(picked, Placed):
                reserved = Reserved(pod, request, picked.node, profile)
                if self._reserve(reserved):
                    outcome = picked
            else:
                outcome = picked
        match outcome:
            case Placed():
                await bindings.start(reserved)
            case Unschedulable():
                ATTEMPTS.labels("unschedulable").inc()
                self._pending.refused(pod.metadata.key, WaitsFor(outcome.refused_by, request), **self._turn(pod))
                self._conditions.refused(pod, reason="Unschedulable", message=str(outcome))
            case None:
                ATTEMPTS.labels("error").inc()
                self._pending.failed(pod.metadata.key, **self._turn(pod))
                self._conditions.refused(pod, reason="SchedulerError", message=_PLACING_FAILED)

    def _reserve(self, reserved: Reserved) -> bool:
        # Counted from here on, before the API knows, so that the next pod sees the room as taken.
        self._table.add_pod(reserved.request, reserved.node)
        is_held = False
        try:
            is_held = all(plugin.reserve(reserved.request, reserved.node) for plugin in reserved.profile.reservers)
        finally:
            if not is_held:
                self._give_back(reserved)
                self._uncount(reserved.request.uid)
        return is_held

    def _give_back(self, reserved: Reserved) -> None:
        for plugin in reversed(reserved.profile.reservers):
            with going_on("pod.giving_back_failed", key=reserved.pod.metadata.key):
                plugin.give_back(reserved.request, reserved.node)

    def _settled(self, reserved: Reserved, is_bound: bool) -> None:
        meta, node = reserved.pod.metadata, reserved.node
        if is_bound:
            ATTEMPTS.labels("scheduled").inc()
            seen_s = self._seen_s.pop(meta.uid, None)
            if seen_s is not None:
                SCHEDULED_SECONDS.observe(self._clock.monotonic() - seen_s)
            text = f"Successfully assigned {meta.key} to {node}"
            recorder = self._recorders[reserved.pod.spec.scheduler_name]
            recorder.event(reference_to(reserved.pod), type="Normal", reason="Scheduled", message=text)
            return
        ATTEMPTS.labels("error").inc()
        newest = self._pods.get(meta.key)
        is_same = newest is not None and newest.metadata.uid == meta.uid
        if newest is not None and is_same and newest.spec.node_name:
            # Bound, though the reply was lost, or by somebody else: the watch has told, and it is counted there.
            if newest.spec.node_name != node:
                self._give_back(reserved)
            return
        if newest is not None and is_same:
            self._pending.failed(meta.key, **self._turn(newest))
            self._changed.set()
        self._give_back(reserved)
        self._uncount(meta.uid)

    def _turn(self, pod: PodView) -> _Turn:
        return {"uid": pod.metadata.uid, "priority": pod.spec.priority, "now_s": self._clock.monotonic()}


def _declared(profiles: Iterable[Profile]) -> Change:
    """The kinds of changes that any plugin of any profile wants to hear of."""
    declared = Change.NOTHING
    for profile in profiles:
        for plugin in (*profile.pre_filters, *profile.fixed_filters, *profile.filters):
            declared |= plugin.wakes_on
    return declared


def _asks_the_same(old: PodView, new: PodView) -> bool:
    """Whether two looks at one pod ask its node for the same; all else of a pod's demand never changes."""
    before, after = old.spec, new.spec
    return (
        before.containers == after.containers
        and before.init_containers == after.init_containers
        and before.overhead == after.overhead
        and old.metadata.labels == new.metadata.labels
    )
