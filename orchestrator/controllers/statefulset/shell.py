"""Carries out the StatefulSet decisions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object
from orchestrator.api.resources import CONTROLLERREVISIONS, PODS, STATEFULSETS
from orchestrator.api.views.meta import MetaView, owner_reference
from orchestrator.api.views.workloads import ControllerRevision, Pod, StatefulSet, StatefulSetStatus
from orchestrator.controllers.batches import BATCH_MAX, all_of
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import Claim, adoption_patch, claim, concerned, release_patch
from orchestrator.controllers.statefulset.decide import CreatePod, Decision, decide, look_again_s, status_of
from orchestrator.controllers.statefulset.revisions import (
    POD_REVISION,
    REVISION_HASH,
    NewRevision,
    Renumber,
    decide_revisions,
    expendable,
    template_of,
)
from orchestrator.controllers.templates import same_template
from orchestrator.machinery.client import STRATEGIC_PATCH
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, NotFound, RetryLater
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


class StatefulSetController:
    """Keeps every StatefulSet's pods, in their order."""

    name = "statefulset"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("statefulset-controller")
        self._informers = context.informers
        self._sets, self._pods = context.informers.statefulsets, context.informers.pods
        self._revisions = context.informers.controllerrevisions
        self._queue = WorkQueue()
        self._own = OwnWrites()
        self._sets.subscribe(self._set_changed)
        self._pods.subscribe(self._owned_changed)
        self._revisions.subscribe(self._owned_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=5)

    def _set_changed(self, old: StatefulSet | None, new: StatefulSet | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue.add(changed.metadata.key)

    def _owned_changed(self, old: Pod | ControllerRevision | None, new: Pod | ControllerRevision | None) -> None:
        in_namespace = partial(self._sets.by_index, "namespace")
        for key in concerned(old, new, kind=STATEFULSETS.kind, owners_in=in_namespace):
            self._queue.add(key)

    async def sync(self, key: str) -> None:
        """Take one StatefulSet a step further."""
        sts = self._sets.get(key)
        if sts is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        history = self._history_of(sts)
        if history.adopt:
            await self._adopt_revisions(sts, history.adopt)
            return
        owned = history.owned
        revisions = decide_revisions(sts, owned)
        if isinstance(revisions, (NewRevision, Renumber)):
            if sts.metadata.deletion_timestamp is None:
                await self._write_revision(sts, revisions)
            return
        pods = self._pods.by_index("owner", sts.metadata.uid)
        candidates = pods + self._pods.by_index("orphan", sts.metadata.namespace)
        now = self._clock.now()
        decision = decide(sts, candidates, revisions, now)
        # The status goes first: currentRevision must be known before a pod of the next revision exists.
        await self._report(sts, status_of(sts, candidates, revisions, now))
        await self._carry_out(sts, decision, {revision.metadata.name: revision for revision in owned})
        if not decision.is_a_change:
            in_use = {revisions.current, revisions.update} | {pod.metadata.labels.get(POD_REVISION, "") for pod in pods}
            for revision in expendable(sts, owned, in_use):
                await self._delete_revision(sts, revision)
        delay_s = look_again_s(sts, pods, now)
        if delay_s is not None:
            self._queue.add_after(key, delay_s)

    def _history_of(self, sts: StatefulSet) -> Claim[ControllerRevision]:
        """Its revisions, and those to adopt. What matches no longer is just no part of it: it goes with its owner."""
        meta = sts.metadata
        orphans = self._revisions.by_index("orphan", meta.namespace)
        return claim(meta, sts.spec.selector, self._revisions.by_index("owner", meta.uid) + orphans)

    async def _adopt_revisions(self, sts: StatefulSet, orphans: Sequence[ControllerRevision]) -> None:
        logger.info("statefulset.sync", key=sts.metadata.key, why=f"{len(orphans)} revisions to adopt")
        await self._require_alive(sts)
        reference = _reference_to(sts)
        for revision in orphans:
            meta = revision.metadata
            patch = adoption_patch(reference, meta)
            written = await self._client.patch(
                CONTROLLERREVISIONS, meta.name, patch, meta.namespace, into=MetaView, patch_type=STRATEGIC_PATCH
            )
            self._own.wrote(sts.metadata.key, self._revisions, written.metadata)

    async def _carry_out(self, sts: StatefulSet, decision: Decision, revisions: dict[str, ControllerRevision]) -> None:
        if not decision.is_a_change:
            return
        logger.info("statefulset.sync", key=sts.metadata.key, why=decision.why)
        if decision.adopt:
            await self._require_alive(sts)
        reference = _reference_to(sts)
        for pod in decision.adopt:
            await self._patch_owner(sts, pod, adoption_patch(reference, pod.metadata))
        for pod in decision.release:
            await self._patch_owner(sts, pod, release_patch(sts.metadata.uid, pod.metadata))
        for start in range(0, len(decision.create), BATCH_MAX):
            batch = decision.create[start : start + BATCH_MAX]
            await all_of("create-pod", [self._create(sts, wanted, revisions[wanted.revision]) for wanted in batch])
        for start in range(0, len(decision.delete), BATCH_MAX):
            doomed = decision.delete[start : start + BATCH_MAX]
            await all_of("delete-pod", [self._delete(sts, pod) for pod in doomed])

    async def _require_alive(self, sts: StatefulSet) -> None:
        live = await self._client.get(STATEFULSETS, sts.metadata.name, sts.metadata.namespace, into=MetaView)
        if live.metadata.uid != sts.metadata.uid or live.metadata.deletion_timestamp is not None:
            raise Conflict(f"cannot adopt: stateful set '{sts.metadata.key}' is gone or going")

    async def _patch_owner(self, sts: StatefulSet, pod: Pod, patch: Object) -> None:
        meta = pod.metadata
        written = await self._client.patch(
            PODS, meta.name, patch, meta.namespace, into=MetaView, patch_type=STRATEGIC_PATCH
        )
        self._own.wrote(sts.metadata.key, self._pods, written.metadata)

    async def _create(self, sts: StatefulSet, wanted: CreatePod, revision: ControllerRevision) -> None:
        # The place for claims made from volumeClaimTemplates: they come before the pod that mounts them.
        body = pod_of(sts, wanted, template_of(revision))
        name = body["metadata"]["name"]
        try:
            pod = await self._client.create(PODS, body, sts.metadata.namespace, into=MetaView)
        except AlreadyExists:
            # Somebody else's pod has the name, or ours is not in the cache yet: nothing can be done but wait.
            raise RetryLater(f"pod name '{name}' is taken", delay_s=1.0) from None
        except ApiError as error:
            message = f"create Pod {name} in StatefulSet {sts.metadata.name} failed error: {error.message}"
            self._recorder.warning(STATEFULSETS, sts, "FailedCreate", message)
            raise
        self._own.wrote(sts.metadata.key, self._pods, pod.metadata)
        message = f"create Pod {name} in StatefulSet {sts.metadata.name} successful"
        self._recorder.normal(STATEFULSETS, sts, "SuccessfulCreate", message)

    async def _delete(self, sts: StatefulSet, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return  # gone, or a namesake took its place: the state we wanted
        except ApiError as error:
            message = f"delete Pod {meta.name} in StatefulSet {sts.metadata.name} failed error: {error.message}"
            self._recorder.warning(STATEFULSETS, sts, "FailedDelete", message)
            raise
        self._own.deleted(sts.metadata.key, self._pods, meta)
        message = f"delete Pod {meta.name} in StatefulSet {sts.metadata.name} successful"
        self._recorder.normal(STATEFULSETS, sts, "SuccessfulDelete", message)

    async def _write_revision(self, sts: StatefulSet, plan: NewRevision | Renumber) -> None:
        namespace = sts.metadata.namespace
        if isinstance(plan, Renumber):
            meta = plan.revision.metadata
            patch = {"metadata": {"uid": meta.uid}, "revision": plan.number}
            written = await self._client.patch(CONTROLLERREVISIONS, meta.name, patch, namespace, into=MetaView)
        else:
            try:
                body = revision_of(sts, plan)
                written = await self._client.create(CONTROLLERREVISIONS, body, namespace, into=MetaView)
            except AlreadyExists:
                await self._resolve_collision(sts, plan)
                return
        self._own.wrote(sts.metadata.key, self._revisions, written.metadata)

    async def _resolve_collision(self, sts: StatefulSet, plan: NewRevision) -> None:
        """The name is taken: by what the cache does not show yet, or by another template with the same hash."""
        meta = sts.metadata
        live = await self._client.get(CONTROLLERREVISIONS, plan.name, meta.namespace, into=ControllerRevision)
        claimed = claim(meta, sts.spec.selector, (live,))
        if (claimed.owned or claimed.adopt) and same_template(template_of(live), decode(bytes(sts.spec.template))):
            raise RetryLater(f"revision '{plan.name}' is not in the cache yet", delay_s=0.05)
        patch = {"metadata": {"uid": meta.uid}, "status": {"collisionCount": sts.status.collision_count + 1}}
        written = await self._client.patch(
            STATEFULSETS, meta.name, patch, meta.namespace, into=MetaView, subresource="status"
        )
        self._own.wrote(meta.key, self._sets, written.metadata)
        raise Conflict(f"revision name '{plan.name}' is taken; trying another hash")

    async def _delete_revision(self, sts: StatefulSet, revision: ControllerRevision) -> None:
        meta = revision.metadata
        try:
            await self._client.delete(CONTROLLERREVISIONS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return
        self._own.deleted(sts.metadata.key, self._revisions, meta)

    async def _report(self, sts: StatefulSet, status: StatefulSetStatus) -> None:
        if status == sts.status:
            return
        meta = sts.metadata
        patch = {"metadata": {"uid": meta.uid}, "status": status}
        try:
            written = await self._client.patch(
                STATEFULSETS, meta.name, patch, meta.namespace, into=MetaView, subresource="status"
            )
        except NotFound:
            return
        self._own.wrote(meta.key, self._sets, written.metadata)


def pod_of(sts: StatefulSet, wanted: CreatePod, template: Object) -> Object:
    """The pod of an ordinal: its name is its identity, its host name and its DNS name."""
    meta = template.get("metadata") or {}
    name = f"{sts.metadata.name}-{wanted.ordinal}"
    labels = {
        **(meta.get("labels") or {}),
        POD_NAME: name,
        POD_INDEX: str(wanted.ordinal),
        POD_REVISION: wanted.revision,
    }
    kept = {field: meta[field] for field in ("annotations", "finalizers") if meta.get(field)}
    metadata = {**kept, "name": name, "labels": labels, "ownerReferences": [_reference_to(sts)]}
    spec = {**(template.get("spec") or {}), "hostname": name}
    if sts.spec.service_name:
        spec["subdomain"] = sts.spec.service_name
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def revision_of(sts: StatefulSet, plan: NewRevision) -> Object:
    """The ControllerRevision to create."""
    labels = decode_labels(sts)
    return {
        "apiVersion": CONTROLLERREVISIONS.api_version,
        "kind": CONTROLLERREVISIONS.kind,
        "metadata": {
            "name": plan.name,
            "labels": {**labels, REVISION_HASH: plan.hash},
            "annotations": sts.metadata.annotations,
            "ownerReferences": [_reference_to(sts)],
        },
        "data": plan.data,
        "revision": plan.number,
    }


def decode_labels(sts: StatefulSet) -> dict[str, str]:
    """The labels of the set's pod template."""
    labels = (decode(bytes(sts.spec.template)).get("metadata") or {}).get("labels") or {}
    return dict(labels)


def _reference_to(sts: StatefulSet) -> Object:
    return owner_reference(api_version=STATEFULSETS.api_version, kind=STATEFULSETS.kind, meta=sts.metadata)
