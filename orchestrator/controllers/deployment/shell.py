"""Carries out the Deployment decisions."""

from __future__ import annotations

from functools import partial

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object
from orchestrator.api.resources import DEPLOYMENTS, REPLICASETS
from orchestrator.api.views.meta import MetaView
from orchestrator.api.views.workloads import Deployment, DeploymentStatus, Pod, ReplicaSet
from orchestrator.controllers.context import Context
from orchestrator.controllers.deployment.decide import (
    Decision,
    Mark,
    NewReplicaSet,
    decide,
    size_annotations,
)
from orchestrator.controllers.deployment.progress import PROGRESSING, deadline_of, look_again_s, with_progress
from orchestrator.controllers.deployment.rollout import REVISION, Scale
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import claim, concerned
from orchestrator.controllers.pod_control import OwnerControl
from orchestrator.controllers.templates import TEMPLATE_HASH, same_template
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, RetryLater
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)


class DeploymentController:
    """Rolls every Deployment's template out."""

    name = "deployment"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("deployment-controller")
        self._informers = context.informers
        self._deployments, self._replicasets = context.informers.deployments, context.informers.replicasets
        self._pods = context.informers.pods
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._control = OwnerControl(self._client, self._deployments, self._own)
        self._deployments.subscribe(self._deployment_changed)
        self._replicasets.subscribe(self._replicaset_changed)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=5)

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue.add(changed.metadata.key)

    def _replicaset_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        in_namespace = partial(self._deployments.by_index, "namespace")
        for key in concerned(old, new, kind=DEPLOYMENTS.kind, owners_in=in_namespace):
            self._queue.add(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        # Only a pod's end matters here, and only to Recreate; everything else arrives as its ReplicaSet's status.
        if old is None or (new is not None and not new.is_finished):
            return
        controller = old.metadata.controller
        if controller is None or controller.kind != REPLICASETS.kind:
            return
        rs = self._replicasets.get(f"{old.metadata.namespace}/{controller.name}")
        owner = rs.metadata.controller if rs is not None else None
        if owner is not None:
            deployment = self._deployments.get(f"{old.metadata.namespace}/{owner.name}")
            if deployment is not None and deployment.spec.strategy.type == "Recreate":
                self._queue.add(deployment.metadata.key)

    async def sync(self, key: str) -> None:
        """Take one Deployment a step further."""
        deployment = self._deployments.get(key)
        if deployment is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        owned = self._replicasets.by_index("owner", deployment.metadata.uid)
        orphans = self._replicasets.by_index("orphan", deployment.metadata.namespace)
        pods = {rs.metadata.uid: self._pods.by_index("owner", rs.metadata.uid) for rs in owned}
        now = self._clock.now()
        decision = decide(deployment, owned + orphans, pods, now)
        await self._carry_out(deployment, decision)
        if decision.status is not None:
            await self._control.report(deployment, decision.status)
            delay_s = look_again_s(deployment, decision.status, now)
            if delay_s is not None:
                self._queue.add_after(key, delay_s)

    async def _carry_out(self, deployment: Deployment, decision: Decision) -> None:
        await self._control.adopt(deployment, self._replicasets, decision.adopt)
        await self._control.release(deployment, self._replicasets, decision.release)
        for mark in decision.marks:
            await self._mark(deployment, mark)
        if decision.revision is not None:
            await self._note_revision(deployment, decision.revision)
        if decision.create is not None:
            await self._create(deployment, decision.create, decision.status)
        for scale in decision.scale:
            await self._scale(deployment, scale)
        for rs in decision.delete:
            meta = rs.metadata
            logger.info("deployment.history", key=deployment.metadata.key, replicaset=meta.name)
            await self._control.delete(deployment, self._replicasets, meta, resource_version=meta.resource_version)

    async def _patch(self, deployment: Deployment, rs: ReplicaSet, patch: Object) -> None:
        meta = rs.metadata
        written = await self._client.patch(REPLICASETS, meta.name, patch, meta.namespace, into=MetaView)
        self._own.wrote(deployment.metadata.key, self._replicasets, written.metadata)

    async def _mark(self, deployment: Deployment, mark: Mark) -> None:
        logger.info("deployment.mark", key=deployment.metadata.key, replicaset=mark.rs.metadata.name)
        patch = {
            "metadata": {"annotations": dict(mark.annotations), "uid": mark.rs.metadata.uid},
            "spec": {"minReadySeconds": mark.min_ready_seconds},
        }
        await self._patch(deployment, mark.rs, patch)

    async def _note_revision(self, deployment: Deployment, revision: str) -> None:
        meta = deployment.metadata
        patch = {"metadata": {"annotations": {REVISION: revision}, "uid": meta.uid}}
        written = await self._client.patch(DEPLOYMENTS, meta.name, patch, meta.namespace, into=MetaView)
        self._own.wrote(meta.key, self._deployments, written.metadata)

    async def _create(self, deployment: Deployment, made: NewReplicaSet, status: DeploymentStatus | None) -> None:
        meta = deployment.metadata
        body = replicaset_of(deployment, made, self._control.reference_to(deployment))
        logger.info("deployment.create", key=meta.key, replicaset=made.name, replicas=made.replicas)
        try:
            written = await self._client.create(REPLICASETS, body, meta.namespace, into=MetaView)
        except AlreadyExists:
            await self._resolve_collision(deployment, made, body)
            return
        except ApiError as error:
            message = f'Failed to create new replica set "{made.name}": {error.message}'
            self._recorder.warning(DEPLOYMENTS, deployment, "ReplicaSetCreateError", message)
            if status is not None and deadline_of(deployment) is not None:
                now = self._clock.now()
                failed = with_progress(status, PROGRESSING, "False", "ReplicaSetCreateError", message, now)
                await self._control.report(deployment, failed)
            raise
        self._own.wrote(meta.key, self._replicasets, written.metadata)
        await self._note_revision(deployment, made.annotations[REVISION])
        if made.replicas:
            message = f"Scaled up replica set {made.name} from 0 to {made.replicas}"
            self._recorder.normal(DEPLOYMENTS, deployment, "ScalingReplicaSet", message)

    async def _resolve_collision(self, deployment: Deployment, made: NewReplicaSet, body: Object) -> None:
        """The name is taken: by what the cache does not show yet, or by another template with the same hash."""
        meta = deployment.metadata
        live = await self._client.get(REPLICASETS, made.name, meta.namespace, into=ReplicaSet)
        claimed = claim(meta, deployment.spec.selector, (live,))
        same = same_template(decode(bytes(live.spec.template)), body["spec"]["template"])
        if same and (claimed.owned or claimed.adopt):
            raise RetryLater(f"replica set '{made.name}' is not in the cache yet", delay_s=0.05)
        patch = {"metadata": {"uid": meta.uid}, "status": {"collisionCount": deployment.status.collision_count + 1}}
        written = await self._client.patch(
            DEPLOYMENTS, meta.name, patch, meta.namespace, into=MetaView, subresource="status"
        )
        self._own.wrote(meta.key, self._deployments, written.metadata)
        raise Conflict(f"replica set name '{made.name}' is taken; trying another hash")

    async def _scale(self, deployment: Deployment, scale: Scale) -> None:
        rs, before = scale.rs, scale.rs.spec.replicas
        # The resourceVersion makes it fail if somebody resized the ReplicaSet since we looked.
        meta = {"annotations": size_annotations(deployment), "resourceVersion": rs.metadata.resource_version}
        patch = {"metadata": meta, "spec": {"replicas": scale.replicas}}
        await self._patch(deployment, rs, patch)
        if scale.replicas == before:
            return
        direction = "up" if scale.replicas > before else "down"
        message = f"Scaled {direction} replica set {rs.metadata.name} from {before} to {scale.replicas}"
        logger.info("deployment.scale", key=deployment.metadata.key, why=message)
        self._recorder.normal(DEPLOYMENTS, deployment, "ScalingReplicaSet", message)


def replicaset_of(deployment: Deployment, made: NewReplicaSet, reference: Object) -> Object:
    """The ReplicaSet to create: template, selector and labels with the hash added."""
    template = decode(bytes(deployment.spec.template))
    metadata = dict(template.get("metadata") or {})
    labels = {**(metadata.get("labels") or {}), TEMPLATE_HASH: made.hash}
    selector = deployment.spec.selector
    wanted: Object = {"matchLabels": {**selector.match_labels, TEMPLATE_HASH: made.hash}}
    if selector.match_expressions:
        wanted["matchExpressions"] = selector.match_expressions
    return {
        "apiVersion": REPLICASETS.api_version,
        "kind": REPLICASETS.kind,
        "metadata": {
            "name": made.name,
            "labels": labels,
            "annotations": dict(made.annotations),
            "ownerReferences": [reference],
        },
        "spec": {
            "replicas": made.replicas,
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": wanted,
            "template": {**template, "metadata": {**metadata, "labels": labels}},
        },
    }
