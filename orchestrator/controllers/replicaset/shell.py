"""Carries out the ReplicaSet decisions: reads the caches, decides, writes, reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS, REPLICASETS
from orchestrator.api.views.meta import MetaView, owner_reference
from orchestrator.api.views.workloads import Pod, ReplicaSet, ReplicaSetStatus
from orchestrator.controllers.batches import BATCH_MAX, all_of
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import adoption_patch, concerned, release_patch
from orchestrator.controllers.refusals import namespace_is_going
from orchestrator.controllers.replicaset.decide import Decision, decide, look_again_s, status_of
from orchestrator.machinery.client import STRATEGIC_PATCH
from orchestrator.machinery.errors import ApiError, Conflict, NotFound
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)


class ReplicaSetController:
    """Keeps every ReplicaSet's pods at the wanted number."""

    name = "replicaset"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("replicaset-controller")
        self._replicasets, self._pods = context.informers.replicasets, context.informers.pods
        self._informers = context.informers
        self._queue = WorkQueue()
        self._own = OwnWrites()
        self._replicasets.subscribe(self._replicaset_changed)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=5)

    def _replicaset_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue.add(changed.metadata.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        in_namespace = partial(self._replicasets.by_index, "namespace")
        for key in concerned(old, new, kind=REPLICASETS.kind, owners_in=in_namespace):
            self._queue.add(key)

    def _candidates(self, rs: ReplicaSet) -> tuple[Pod, ...]:
        return self._pods.by_index("owner", rs.metadata.uid) + self._pods.by_index("orphan", rs.metadata.namespace)

    def _related(self, rs: ReplicaSet) -> Sequence[Pod]:
        owner = rs.metadata.controller
        siblings = self._replicasets.by_index("owner", owner.uid) if owner else (rs,)
        return [pod for sibling in siblings for pod in self._pods.by_index("owner", sibling.metadata.uid)]

    async def sync(self, key: str) -> None:
        """Bring one ReplicaSet a step closer; called again until nothing is left to do."""
        rs = self._replicasets.get(key)
        if rs is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        decision = decide(rs, self._candidates(rs), self._related(rs), self._clock.now())
        failure: tuple[str, str] | None = None
        refused: ApiError | None = None
        try:
            await self._carry_out(rs, decision)
        except ApiError as error:
            refused = error
            failure = ("FailedDelete" if decision.delete else "FailedCreate", error.message)
        now = self._clock.now()
        if decision.is_a_change and failure is None:
            return  # the watch brings what was written, and with it the sync that reports
        await self._report(rs, status_of(rs, self._candidates(rs), now, failure=failure))
        if refused is not None and not namespace_is_going(refused):
            raise refused
        delay_s = look_again_s(rs, self._candidates(rs), now)
        if delay_s is not None:
            self._queue.add_after(key, delay_s)

    async def _carry_out(self, rs: ReplicaSet, decision: Decision) -> None:
        if not decision.is_a_change:
            return
        logger.info("replicaset.sync", key=rs.metadata.key, why=decision.why)
        if decision.adopt:
            await self._require_alive(rs)
        for pod in decision.adopt:
            reference = owner_reference(api_version=REPLICASETS.api_version, kind=REPLICASETS.kind, meta=rs.metadata)
            await self._patch_owner(rs, pod, adoption_patch(reference, pod.metadata))
        for pod in decision.release:
            await self._patch_owner(rs, pod, release_patch(rs.metadata.uid, pod.metadata))
        if decision.create:
            await self._create(rs, decision.create)
        for start in range(0, len(decision.delete), BATCH_MAX):
            await all_of("delete-pod", [self._delete(rs, pod) for pod in decision.delete[start : start + BATCH_MAX]])

    async def _require_alive(self, rs: ReplicaSet) -> None:
        """The cache may be behind: one that is gone, replaced or going must not adopt."""
        live = await self._client.get(REPLICASETS, rs.metadata.name, rs.metadata.namespace, into=MetaView)
        if live.metadata.uid != rs.metadata.uid or live.metadata.deletion_timestamp is not None:
            raise Conflict(f"cannot adopt pods: replica set '{rs.metadata.key}' is gone or going")

    async def _patch_owner(self, rs: ReplicaSet, pod: Pod, patch: Object) -> None:
        meta = pod.metadata
        try:
            written = await self._client.patch(
                PODS, meta.name, patch, meta.namespace, into=MetaView, patch_type=STRATEGIC_PATCH
            )
        except NotFound:
            return
        self._own.wrote(rs.metadata.key, self._pods, written.metadata)

    async def _create(self, rs: ReplicaSet, count: int) -> None:
        # Slow start: one write tells whether writes are refused, before hundreds are.
        body = pod_of(rs)
        batch, left = 1, count
        while left > 0:
            size = min(batch, left, BATCH_MAX)
            await all_of("create-pod", [self._create_one(rs, body) for _ in range(size)])
            left -= size
            batch *= 2

    async def _create_one(self, rs: ReplicaSet, body: Object) -> None:
        try:
            pod = await self._client.create(PODS, body, rs.metadata.namespace, into=MetaView)
        except ApiError as error:
            if not namespace_is_going(error):
                self._recorder.warning(REPLICASETS, rs, "FailedCreate", f"Error creating: {error.message}")
            raise
        self._own.wrote(rs.metadata.key, self._pods, pod.metadata)
        self._recorder.normal(REPLICASETS, rs, "SuccessfulCreate", f"Created pod: {pod.metadata.name}")

    async def _delete(self, rs: ReplicaSet, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return  # gone, or a namesake took its place: the state we wanted
        except ApiError as error:
            self._recorder.warning(REPLICASETS, rs, "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._own.deleted(rs.metadata.key, self._pods, meta)
        self._recorder.normal(REPLICASETS, rs, "SuccessfulDelete", f"Deleted pod: {meta.name}")

    async def _report(self, rs: ReplicaSet, status: ReplicaSetStatus) -> None:
        if status == rs.status:
            return
        try:
            written = await self._client.patch(
                REPLICASETS,
                rs.metadata.name,
                {"metadata": {"uid": rs.metadata.uid}, "status": status},
                rs.metadata.namespace,
                into=MetaView,
                subresource="status",
            )
        except NotFound:
            return
        self._own.wrote(rs.metadata.key, self._replicasets, written.metadata)


def pod_of(rs: ReplicaSet) -> Object:
    """The pod to create: the template, owned."""
    template = decode(bytes(rs.spec.template))
    meta = template.get("metadata") or {}
    kept = {field: meta[field] for field in ("labels", "annotations", "finalizers") if meta.get(field)}
    reference = owner_reference(api_version=REPLICASETS.api_version, kind=REPLICASETS.kind, meta=rs.metadata)
    metadata = {**kept, "generateName": f"{rs.metadata.name}-", "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}
