"""Carries out garbage collection over every watched resource."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from orchestrator.api.objects import Object, namespaced_key
from orchestrator.api.resources import CONFIGMAPS, SECRETS, Resource
from orchestrator.api.views.meta import MetaView, ObjectMeta, OwnerReference
from orchestrator.controllers.context import Context, Informers
from orchestrator.controllers.garbage.decide import (
    Decision,
    Delete,
    DeleteBlockers,
    Orphan,
    Owner,
    Release,
    RemoveOwners,
    decide,
    is_waiting,
    wants_a_look,
)
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import release_patch
from orchestrator.machinery.client import STRATEGIC_PATCH
from orchestrator.machinery.errors import Conflict, NotFound, RetryLater
from orchestrator.machinery.informer import HasMetadata, Informer
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

#: Owners remembered as gone: a uid never comes back, and thousands of pods may name the same one.
_ABSENT_MAX = 1_000


def watched(informers: Informers) -> tuple[Informer[Any], ...]:
    """The informers of everything that owns or is owned, each with the view that others read it in."""
    return (
        informers.namespaces,
        informers.nodes,
        informers.pods,
        informers.services,
        informers.endpoints,
        informers.endpointslices,
        informers.serviceaccounts,
        informers.replicasets,
        informers.deployments,
        informers.statefulsets,
        informers.controllerrevisions,
        informers.node_leases,
        informers.metadata_of(CONFIGMAPS),
        informers.metadata_of(SECRETS),
    )


class GarbageController:
    """Follows owner references: background, foreground and orphaning deletions."""

    name = "garbage"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._informers = context.informers
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._watched = {informer.resource.group_resource: informer for informer in watched(context.informers)}
        self._by_kind = {
            (informer.resource.api_version, informer.resource.kind): informer for informer in self._watched.values()
        }
        self._swept = False
        for informer in self._watched.values():
            self._follow(informer)

    def _follow(self, informer: Informer[Any]) -> None:
        def changed(old: HasMetadata | None, new: HasMetadata | None) -> None:
            self._changed(informer.resource, old, new)

        informer.subscribe(changed)

    async def run(self) -> None:
        """Work for ever, after one look at everything: owners may have gone while nobody watched."""
        await self._informers.wait_synced()
        self._swept = True
        for informer in self._watched.values():
            for view in tuple(informer.values()):
                if view.metadata.owner_references or wants_a_look(view.metadata):
                    self._queue.add(_key(informer.resource, view.metadata))
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=8)

    def _changed(self, resource: Resource, old: HasMetadata | None, new: HasMetadata | None) -> None:
        if not self._swept:
            return  # the first look comes when all caches are filled
        if new is None:
            assert old is not None
            self._enqueue_dependents(old.metadata.uid)
            self._enqueue_waiting_owners(old.metadata)
            return
        meta = new.metadata
        if old is not None and old.metadata.uid != meta.uid:
            self._enqueue_dependents(old.metadata.uid)
        if wants_a_look(meta):
            self._queue.add(_key(resource, meta))
            self._enqueue_dependents(meta.uid)
        elif meta.owner_references and (old is None or old.metadata.owner_references != meta.owner_references):
            if any(
                self._cached_owner(meta.namespace, reference) is not Owner.SOLID for reference in meta.owner_references
            ):
                self._queue.add(_key(resource, meta))
            if old is not None:
                self._enqueue_waiting_owners(old.metadata)

    def _enqueue_dependents(self, uid: str) -> None:
        for informer in self._watched.values():
            for view in informer.by_index("owner", uid):
                self._queue.add(_key(informer.resource, view.metadata))

    def _enqueue_waiting_owners(self, meta: ObjectMeta) -> None:
        for reference in meta.owner_references:
            found = self._find_owner(meta.namespace, reference)
            if found is not None and wants_a_look(found[1]):
                self._queue.add(_key(*found))

    def _find_owner(self, namespace: str, reference: OwnerReference) -> tuple[Resource, ObjectMeta] | None:
        informer = self._by_kind.get((reference.api_version, reference.kind))
        if informer is None:
            return None
        key = namespaced_key(namespace if informer.resource.namespaced else "", reference.name)
        view = informer.get(key)
        if view is None or view.metadata.uid != reference.uid:
            return None
        return informer.resource, view.metadata

    def _cached_owner(self, namespace: str, reference: OwnerReference) -> Owner | None:
        """How the owner stands as far as the caches know; None: not in them, so ask."""
        informer = self._by_kind.get((reference.api_version, reference.kind))
        if informer is None or (informer.resource.namespaced and not namespace):
            # Of a kind that nobody here can judge: what it owns is left alone.
            return Owner.SOLID
        found = self._find_owner(namespace, reference)
        if found is None:
            return Owner.ABSENT if reference.uid in self._absent else None
        return Owner.WAITING if is_waiting(found[1]) else Owner.SOLID

    async def _owner(self, namespace: str, reference: OwnerReference) -> Owner:
        known = self._cached_owner(namespace, reference)
        if known is not None:
            return known
        resource = self._by_kind[(reference.api_version, reference.kind)].resource
        try:
            live = await self._client.get(
                resource, reference.name, namespace if resource.namespaced else "", into=MetaView
            )
        except NotFound:
            live = MetaView()
        if live.metadata.uid == reference.uid:
            return Owner.WAITING if is_waiting(live.metadata) else Owner.SOLID
        self._absent[reference.uid] = None
        while len(self._absent) > _ABSENT_MAX:
            self._absent.popitem(last=False)
        return Owner.ABSENT

    def _dependents(self, uid: str) -> list[tuple[Resource, ObjectMeta]]:
        return [
            (informer.resource, view.metadata)
            for informer in self._watched.values()
            for view in informer.by_index("owner", uid)
        ]

    async def sync(self, key: str) -> None:
        """Take the next step for one object."""
        name, _, object_key = key.partition("|")
        informer = self._watched[name]
        view = informer.get(object_key)
        if view is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        meta: ObjectMeta = view.metadata
        owners = {reference.uid: await self._owner(meta.namespace, reference) for reference in meta.owner_references}
        dependents = self._dependents(meta.uid)
        decision = decide(meta, owners, [dependent for _, dependent in dependents])
        if decision is not None:
            await self._carry_out(key, informer, meta, dependents, decision)

    async def _carry_out(
        self,
        key: str,
        informer: Informer[Any],
        meta: ObjectMeta,
        dependents: list[tuple[Resource, ObjectMeta]],
        decision: Decision,
    ) -> None:
        resource = informer.resource
        match decision:
            case Delete(propagation):
                logger.info("garbage.delete", object=key, propagation=propagation)
                try:
                    # The revision guards against an owner that was added since we looked.
                    await self._client.delete(
                        resource,
                        meta.name,
                        meta.namespace,
                        uid=meta.uid,
                        resource_version=meta.resource_version,
                        propagation=propagation,
                    )
                except NotFound:
                    return
                self._own.deleted(key, informer, meta)
            case RemoveOwners(uids):
                for uid in uids:
                    await self._remove_owner(key, informer, meta, uid)
            case Release(finalizer):
                logger.info("garbage.release", object=key, finalizer=finalizer)
                kept = [entry for entry in meta.finalizers if entry != finalizer]
                await self._patch(key, informer, meta, _finalizers_patch(meta, kept), "application/merge-patch+json")
            case Orphan():
                logger.info("garbage.orphan", object=key, dependents=len(dependents))
                for dependent_resource, dependent in dependents:
                    dependent_informer = self._watched[dependent_resource.group_resource]
                    await self._remove_owner(key, dependent_informer, dependent, meta.uid)
                raise RetryLater("dependents are being orphaned", delay_s=0.02)
            case DeleteBlockers(uids):
                for dependent_resource, dependent in dependents:
                    if dependent.uid in uids and dependent.deletion_timestamp is None:
                        self._queue.add(_key(dependent_resource, dependent))

    async def _remove_owner(self, key: str, informer: Informer[Any], meta: ObjectMeta, uid: str) -> None:
        await self._patch(key, informer, meta, release_patch(uid, meta), STRATEGIC_PATCH)

    async def _patch(self, key: str, informer: Informer[Any], meta: ObjectMeta, patch: Object, patch_type: str) -> None:
        try:
            written = await self._client.patch(
                informer.resource, meta.name, patch, meta.namespace, into=MetaView, patch_type=patch_type
            )
        except NotFound:
            return
        except Conflict:
            live = await self._live_uid(informer.resource, meta)
            if live != meta.uid:
                return  # a namesake took its place
            raise
        self._own.wrote(key, informer, written.metadata)

    async def _live_uid(self, resource: Resource, meta: ObjectMeta) -> str:
        try:
            live = await self._client.get(resource, meta.name, meta.namespace, into=MetaView)
        except NotFound:
            return ""
        return live.metadata.uid


def _key(resource: Resource, meta: ObjectMeta) -> str:
    return f"{resource.group_resource}|{meta.key}"


def _finalizers_patch(meta: ObjectMeta, kept: list[str]) -> Object:
    return {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": kept or None}}
