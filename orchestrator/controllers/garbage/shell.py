"""Carries out garbage collection over every watched resource."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import Any

from orchestrator.api.objects import Object, namespaced_key
from orchestrator.api.resources import CORE_EVENTS, Resource
from orchestrator.api.views.meta import MetaView, ObjectMeta, OwnerReference
from orchestrator.controllers.batches import InTurn
from orchestrator.controllers.context import Context
from orchestrator.controllers.discovered import discover
from orchestrator.controllers.garbage.decide import (
    Decision,
    Delete,
    DeleteBlockers,
    Orphan,
    Owner,
    Release,
    RemoveOwners,
    Unblock,
    decide,
    is_waiting,
    wants_a_look,
)
from orchestrator.controllers.garbage.decide_circle import circle_of, unblock_patch
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import release_patch
from orchestrator.machinery.client import STRATEGIC_PATCH
from orchestrator.machinery.errors import ApiError, Conflict, NotFound, RetryLater, Unreachable
from orchestrator.machinery.informer import HasMetadata, Informer
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

#: An owner as a dependent names it: apiVersion, kind, namespace, name, uid.
_Coordinates = tuple[str, str, str, str, str]

#: Owners remembered as gone: a uid never comes back, and thousands of pods may name the same one.
_ABSENT_MAX = 1_000


#: Kubernetes' period for asking what kinds there are.
_DISCOVER_EVERY_S = 30.0
#: How soon to ask again when there was no answer, or a cache is not filled yet.
_ASK_AGAIN_S = 1.0
#: What an owner that is nowhere is compared with, every object of its kind, costs milliseconds: so rarely.
_SEARCH_EVERY_S = 1.0


def is_collected(resource: Resource) -> bool:
    """Whether owners of such objects are followed: of everything but events, as in Kubernetes."""
    return resource != CORE_EVENTS


class GarbageController:
    """Follows owner references: background, foreground and orphaning deletions, of every kind that discovery names."""

    name = "garbage"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._informers = context.informers
        self._recorder = context.recorder("garbage-collector-controller")
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._absent: OrderedDict[_Coordinates, None] = OrderedDict()
        self._searched_s = -math.inf
        self._watched: dict[str, Informer[Any]] = {}
        self._by_kind: dict[tuple[str, str], Informer[Any]] = {}
        self._swept = False

    async def run(self) -> None:
        """Work for ever, after one look at everything: owners may have gone while nobody watched."""
        await self._learn_kinds()
        for informer in tuple(self._watched.values()):
            await informer.wait_synced()
        self._swept = True
        for informer in self._watched.values():
            for view in tuple(informer.values()):
                if view.metadata.owner_references or wants_a_look(view.metadata):
                    self._queue.add(_key(informer.resource, view.metadata))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_kinds(), name="garbage-kinds")
            group.create_task(
                work(self.name, self._queue, self.sync, clock=self._clock, concurrency=8), name="garbage-work"
            )

    async def _learn_kinds(self) -> None:
        while True:
            if await self._look_at_kinds():
                return
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _follow_kinds(self) -> None:
        while True:
            await asyncio.sleep(_DISCOVER_EVERY_S)
            await self._look_at_kinds()

    async def _look_at_kinds(self) -> bool:
        """Watch what discovery names and is not watched yet; False if there was no answer."""
        try:
            found = await discover(self._client, "list", "watch", "delete")
        except (ApiError, Unreachable, ValueError) as failed:
            logger.warning("garbage.kinds_not_known", why=str(failed)[:256])
            return False
        for resource in found:
            if is_collected(resource) and resource.group_resource not in self._watched:
                informer = self._informers.metadata_of(resource)
                self._watched[resource.group_resource] = informer
                self._by_kind[resource.api_version, resource.kind] = informer
                self._follow(informer)
        return True

    def _follow(self, informer: Informer[Any]) -> None:
        def changed(old: HasMetadata | None, new: HasMetadata | None) -> None:
            self._changed(informer.resource, old, new)

        informer.subscribe(changed)

    def _changed(self, resource: Resource, old: HasMetadata | None, new: HasMetadata | None) -> None:
        if not self._swept:
            return  # the first look comes when all caches are filled
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._departed(resource, old.metadata)
            old = None
        if new is None:
            return
        meta = new.metadata
        changed = old is None or old.metadata.owner_references != meta.owner_references
        if old is not None and changed:
            self._enqueue_waiting_owners(old.metadata)
        if wants_a_look(meta):
            self._queue.add(_key(resource, meta))
            self._enqueue_dependents(meta.uid)
        elif changed and any(
            self._is_out_of_reach(meta.namespace, reference)
            or self._cached_owner(meta.namespace, reference) is not Owner.SOLID
            for reference in meta.owner_references
        ):
            self._queue.add(_key(resource, meta))

    def _departed(self, resource: Resource, meta: ObjectMeta) -> None:
        if self._enqueue_dependents(meta.uid):
            self._remember_absent((resource.api_version, resource.kind, meta.namespace, meta.name, meta.uid))
        self._enqueue_waiting_owners(meta)

    def _enqueue_dependents(self, uid: str) -> int:
        dependents = self._naming(uid)
        for resource, meta in dependents:
            self._queue.add(_key(resource, meta))
        return len(dependents)

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
        if informer is None or self._is_out_of_reach(namespace, reference):
            # Of a kind that nobody here can judge: what it owns is left alone.
            return Owner.SOLID
        found = self._find_owner(namespace, reference)
        if found is None:
            return Owner.ABSENT if _coordinates(informer.resource, namespace, reference) in self._absent else None
        return Owner.WAITING if is_waiting(found[1]) else Owner.SOLID

    def _is_out_of_reach(self, namespace: str, reference: OwnerReference) -> bool:
        """Whether something cluster-scoped names an owner in a namespace, without a way to say in which."""
        informer = self._by_kind.get((reference.api_version, reference.kind))
        return informer is not None and informer.resource.namespaced and not namespace

    async def _owner(self, resource: Resource, view: HasMetadata, reference: OwnerReference) -> Owner:
        namespace = view.metadata.namespace
        if self._is_out_of_reach(namespace, reference):
            self._tell_if_elsewhere(resource, view, reference)
            return Owner.SOLID
        known = self._cached_owner(namespace, reference)
        if known is not None:
            return known
        kind = self._by_kind[reference.api_version, reference.kind].resource
        try:
            live = await self._client.get(kind, reference.name, namespace if kind.namespaced else "", into=MetaView)
        except NotFound:
            live = MetaView()
        if live.metadata.uid == reference.uid:
            return Owner.WAITING if is_waiting(live.metadata) else Owner.SOLID
        self._remember_absent(_coordinates(kind, namespace, reference))
        self._tell_if_elsewhere(resource, view, reference)
        return Owner.ABSENT

    def _remember_absent(self, coordinates: _Coordinates) -> None:
        self._absent[coordinates] = None
        while len(self._absent) > _ABSENT_MAX:
            self._absent.popitem(last=False)

    def _tell_if_elsewhere(self, resource: Resource, view: HasMetadata, reference: OwnerReference) -> None:
        """Say so where the owner is in another namespace, or in one at all: no owner is, whatever becomes of this."""
        informer, now_s = self._by_kind[reference.api_version, reference.kind], self._clock.monotonic()
        if not informer.resource.namespaced or now_s - self._searched_s < _SEARCH_EVERY_S:
            return
        self._searched_s = now_s
        if any(other.metadata.uid == reference.uid for other in informer.values()):
            namespace = view.metadata.namespace
            shown = f"[{reference.api_version}/{reference.kind}, namespace: {namespace}, name: {reference.name}"
            message = f'ownerRef {shown}, uid: {reference.uid}] does not exist in namespace "{namespace}"'
            self._recorder.warning(resource, view, "OwnerRefInvalidNamespace", message)

    def _naming(self, uid: str) -> list[tuple[Resource, ObjectMeta]]:
        """What names an owner by its uid."""
        return [
            (informer.resource, view.metadata)
            for informer in self._watched.values()
            for view in informer.by_index("owner", uid)
        ]

    def _dependents(self, owner: ObjectMeta) -> list[tuple[Resource, ObjectMeta]]:
        """What an owner waits for: an owner in a namespace has dependents nowhere else, whoever may name it."""
        return [
            (resource, meta)
            for resource, meta in self._naming(owner.uid)
            if not owner.namespace or meta.namespace == owner.namespace
        ]

    def _owners_of(self, meta: ObjectMeta) -> list[ObjectMeta]:
        """Its owners, as far as the caches have them."""
        found = [self._find_owner(meta.namespace, reference) for reference in meta.owner_references]
        return [owner for _, owner in filter(None, found)]

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
        owners = {ref.uid: await self._owner(informer.resource, view, ref) for ref in meta.owner_references}
        if wants_a_look(meta) and not all(informer.has_synced for informer in self._watched.values()):
            raise RetryLater("what depends on it is not known yet", delay_s=_ASK_AGAIN_S)
        dependents = self._dependents(meta)
        metas = [dependent for _, dependent in dependents]
        circle = circle_of(meta, self._owners_of) if is_waiting(meta) else None
        decision = decide(meta, owners, metas, circle)
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
                in_turn = InTurn()
                for dependent_resource, dependent in dependents:
                    with in_turn.each():
                        dependent_informer = self._watched[dependent_resource.group_resource]
                        await self._remove_owner(key, dependent_informer, dependent, meta.uid)
                in_turn.end()
                raise RetryLater("dependents are being orphaned", delay_s=0.02)
            case Unblock(member):
                logger.info("garbage.circle", object=key, unblocked=member.key)
                await self._unblock(key, member)
            case DeleteBlockers(uids):
                for dependent_resource, dependent in dependents:
                    if dependent.uid in uids and dependent.deletion_timestamp is None:
                        self._queue.add(_key(dependent_resource, dependent))

    async def _unblock(self, key: str, member: ObjectMeta) -> None:
        for informer in self._watched.values():
            view = informer.get(member.key)
            if view is not None and view.metadata.uid == member.uid:
                await self._patch(key, informer, member, unblock_patch(member), STRATEGIC_PATCH)

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


def _coordinates(resource: Resource, namespace: str, reference: OwnerReference) -> _Coordinates:
    # All of them, for a wrong reference to a living owner's uid must not make that owner absent for everybody.
    where = namespace if resource.namespaced else ""
    return (reference.api_version, reference.kind, where, reference.name, reference.uid)


def _key(resource: Resource, meta: ObjectMeta) -> str:
    return f"{resource.group_resource}|{meta.key}"


def _finalizers_patch(meta: ObjectMeta, kept: list[str]) -> Object:
    return {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": kept or None}}
