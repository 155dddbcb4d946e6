"""Carries out the ReplicaSet decisions: reads the caches, decides, writes, reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object
from orchestrator.api.resources import REPLICASETS
from orchestrator.api.views.workloads import Pod, ReplicaSet
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import concerned
from orchestrator.controllers.pod_control import Failure, PodControl
from orchestrator.controllers.replicaset.decide import Decision, decide, look_again_s, status_of
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)


class ReplicaSetController:
    """Keeps every ReplicaSet's pods at the wanted number."""

    name = "replicaset"

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._replicasets, self._pods = context.informers.replicasets, context.informers.pods
        self._informers = context.informers
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        recorder = context.recorder("replicaset-controller")
        self._control = PodControl(context.client, self._replicasets, self._pods, self._own, recorder)
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
        failure = await self._carry_out(rs, decision) if decision.is_a_change else None
        if decision.is_a_change and failure is None:
            return  # the watch brings what was written, and with it the sync that reports
        now = self._clock.now()
        told = (str(failure.kind), failure.error.message) if failure is not None else None
        await self._control.report(rs, status_of(rs, self._candidates(rs), now, failure=told))
        if failure is not None:
            raise failure.error
        delay_s = look_again_s(rs, self._candidates(rs), now)
        if delay_s is not None:
            self._queue.add_after(key, delay_s)

    async def _carry_out(self, rs: ReplicaSet, decision: Decision) -> Failure | None:
        logger.info("replicaset.sync", key=rs.metadata.key, why=decision.why)
        await self._control.adopt(rs, self._pods, decision.adopt)
        await self._control.release(rs, self._pods, decision.release)
        if decision.create:
            body = pod_of(rs, self._control.reference_to(rs))
            return await self._control.create(rs, [body] * decision.create)
        return await self._control.delete_pods(rs, decision.delete)


def pod_of(rs: ReplicaSet, reference: Object) -> Object:
    """The pod to create: the template, owned by `reference`."""
    template = decode(bytes(rs.spec.template))
    meta = template.get("metadata") or {}
    kept = {field: meta[field] for field in ("labels", "annotations", "finalizers") if meta.get(field)}
    metadata = {**kept, "generateName": f"{rs.metadata.name}-", "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}
