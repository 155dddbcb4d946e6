"""Carries out the StatefulSet decisions."""

from __future__ import annotations

from functools import partial

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object, namespaced_key
from orchestrator.api.resources import CONTROLLERREVISIONS, STATEFULSETS
from orchestrator.api.views.meta import MetaView
from orchestrator.api.views.workloads import ControllerRevision, Pod, StatefulSet
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import Claim, claim, concerned
from orchestrator.controllers.pod_control import PodControl, Words
from orchestrator.controllers.statefulset.decide import (
    CreatePod,
    Decision,
    decide,
    look_again_s,
    member_of,
    status_of,
)
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
from orchestrator.machinery.errors import AlreadyExists, Conflict, RetryLater
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"

#: Kubernetes has words of its own for this controller's events.
WORDS = Words(
    created="create Pod {pod} in StatefulSet {owner} successful",
    create_failed="create Pod {pod} in StatefulSet {owner} failed error: {why}",
    deleted="delete Pod {pod} in StatefulSet {owner} successful",
    delete_failed="delete Pod {pod} in StatefulSet {owner} failed error: {why}",
)


class StatefulSetController:
    """Keeps every StatefulSet's pods, in their order."""

    name = "statefulset"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._informers = context.informers
        self._sets, self._pods = context.informers.statefulsets, context.informers.pods
        self._revisions = context.informers.controllerrevisions
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        recorder = context.recorder("statefulset-controller")
        self._control = PodControl(self._client, self._sets, self._pods, self._own, recorder, WORDS)
        self._sets.subscribe(self._set_changed)
        self._pods.subscribe(self._owned_changed)
        self._pods.subscribe(self._name_freed)
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

    def _name_freed(self, old: Pod | None, new: Pod | None) -> None:
        """Whoever had the pod that is gone: the set whose pods are named like it may wait for the name."""
        if old is None or new is not None:
            return
        member = member_of(old.metadata.name)
        if member is not None:
            key = namespaced_key(old.metadata.namespace, member[0])
            if self._sets.get(key) is not None:
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
            logger.info("statefulset.sync", key=key, why=f"{len(history.adopt)} revisions to adopt")
            await self._control.adopt(sts, self._revisions, history.adopt)
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
        await self._control.report(sts, status_of(sts, candidates, revisions, now))
        if decision.is_a_change:
            await self._carry_out(sts, decision, {revision.metadata.name: revision for revision in owned})
        else:
            in_use = {revisions.current, revisions.update} | {pod.metadata.labels.get(POD_REVISION, "") for pod in pods}
            for revision in expendable(sts, owned, in_use):
                await self._control.delete(sts, self._revisions, revision.metadata)
        delay_s = look_again_s(sts, pods, now)
        if delay_s is not None:
            self._queue.add_after(key, delay_s)

    def _history_of(self, sts: StatefulSet) -> Claim[ControllerRevision]:
        """Its revisions, and those to adopt. What matches no longer is just no part of it: it goes with its owner."""
        meta = sts.metadata
        orphans = self._revisions.by_index("orphan", meta.namespace)
        return claim(meta, sts.spec.selector, self._revisions.by_index("owner", meta.uid) + orphans)

    async def _carry_out(self, sts: StatefulSet, decision: Decision, revisions: dict[str, ControllerRevision]) -> None:
        logger.info("statefulset.sync", key=sts.metadata.key, why=decision.why)
        await self._control.adopt(sts, self._pods, decision.adopt)
        await self._control.release(sts, self._pods, decision.release)
        # The place for claims made from volumeClaimTemplates: they come before the pods that mount them.
        reference = self._control.reference_to(sts)
        bodies = [pod_of(sts, one, template_of(revisions[one.revision]), reference) for one in decision.create]
        failure = await self._control.create(sts, bodies) or await self._control.delete_pods(sts, decision.delete)
        if failure is not None:
            raise failure.error

    async def _write_revision(self, sts: StatefulSet, plan: NewRevision | Renumber) -> None:
        namespace = sts.metadata.namespace
        if isinstance(plan, Renumber):
            meta = plan.revision.metadata
            patch = {"metadata": {"uid": meta.uid}, "revision": plan.number}
            written = await self._client.patch(CONTROLLERREVISIONS, meta.name, patch, namespace, into=MetaView)
        else:
            try:
                body = revision_of(sts, plan, self._control.reference_to(sts))
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


def pod_of(sts: StatefulSet, wanted: CreatePod, template: Object, reference: Object) -> Object:
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
    metadata = {**kept, "name": name, "labels": labels, "ownerReferences": [reference]}
    spec = {**(template.get("spec") or {}), "hostname": name}
    if sts.spec.service_name:
        spec["subdomain"] = sts.spec.service_name
    if claims := [claim.metadata.name for claim in sts.spec.volume_claim_templates]:
        # A claim takes the place of a volume of its name.
        others = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claims]
        spec["volumes"] = [_claim(claim, name) for claim in claims] + others
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _claim(claim: str, pod_name: str) -> Object:
    return {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{pod_name}"}}


def revision_of(sts: StatefulSet, plan: NewRevision, reference: Object) -> Object:
    """The ControllerRevision to create."""
    labels = decode_labels(sts)
    return {
        "apiVersion": CONTROLLERREVISIONS.api_version,
        "kind": CONTROLLERREVISIONS.kind,
        "metadata": {
            "name": plan.name,
            "labels": {**labels, REVISION_HASH: plan.hash},
            "annotations": sts.metadata.annotations,
            "ownerReferences": [reference],
        },
        "data": plan.data,
        "revision": plan.number,
    }


def decode_labels(sts: StatefulSet) -> dict[str, str]:
    """The labels of the set's pod template."""
    labels = (decode(bytes(sts.spec.template)).get("metadata") or {}).get("labels") or {}
    return dict(labels)
