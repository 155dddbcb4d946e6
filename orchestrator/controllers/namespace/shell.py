"""Carries out the deletion of namespaces: everything in them first, found by discovery, then the finalizer."""

from __future__ import annotations

from typing import Any

from orchestrator.api.codec import encode
from orchestrator.api.resources import NAMESPACES, PODS, Resource
from orchestrator.api.views.cluster import Namespace
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.context import Context
from orchestrator.controllers.discovered import discover
from orchestrator.controllers.namespace.decide import (
    FINALIZER,
    Found,
    conditions_of,
    is_ours,
    may_finalize,
    with_content,
    with_error,
)
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.machinery.errors import ApiError, MethodNotAllowed, NotFound, RetryLater, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

#: How soon to look again while content is going: containers take a moment to stop.
_LOOK_AGAIN_S = 1.0
#: Objects of one resource looked at for what holds them up; the count is what matters.
_SAMPLE_MAX = 500


class NamespaceController:
    """Empties and releases namespaces that are being deleted."""

    name = "namespace"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._informers, self._namespaces = context.informers, context.informers.namespaces
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._namespaces.subscribe(self._namespace_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=4)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None and is_ours(new):
            self._queue.add(new.metadata.name)

    async def sync(self, key: str) -> None:
        """Delete what is left in one namespace, report, and release it once it is empty."""
        namespace = self._namespaces.get(key)
        if namespace is None or not is_ours(namespace):
            self._own.forget(key)
            return
        self._own.require_seen(key)
        if namespace.status.phase != "Terminating":
            await self._report(namespace, {"phase": "Terminating"})
        found = await self._empty(namespace)
        conditions = conditions_of(namespace, found, self._clock.now())
        if conditions != namespace.status.conditions and not may_finalize(found):
            await self._report(namespace, {"phase": "Terminating", "conditions": conditions})
        if may_finalize(found):
            await self._finalize(namespace)
            return
        waiting = sorted(resource.plural for resource, items in found.remaining.items() if items)
        raise RetryLater(f"content remains: {', '.join(waiting) or 'not known'}", delay_s=_LOOK_AGAIN_S)

    async def _empty(self, namespace: Namespace) -> Found:
        """Delete what is there, pods first: while one is left, what it may need to end in order stays as well."""
        try:
            resources = [resource for resource in await discover(self._client, "list", "delete") if resource.namespaced]
        except (ApiError, Unreachable, ValueError) as error:
            return Found(discovery_error=str(error)[:256])
        found = Found()
        if PODS in resources:
            found = await self._delete_all(PODS, namespace, found)
            if found != Found():
                return found
        for resource in resources:
            if resource != PODS:
                found = await self._delete_all(resource, namespace, found)
        return found

    async def _delete_all(self, resource: Resource, namespace: Namespace, found: Found) -> Found:
        """`found`, and what became of the objects of one resource."""
        name = namespace.metadata.name
        try:
            listing = await self._client.list(resource, name, into=MetaView, limit=_SAMPLE_MAX)
            if not listing.items:
                return found
            if any(item.metadata.deletion_timestamp is None for item in listing.items):
                logger.info("namespace.empty", namespace=name, resource=resource.group_resource)
            # Of what is being deleted already, too: who deleted it may have wanted its dependents waited for.
            options = encode({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
            try:
                await self._client.request("DELETE", resource.path(name), body=options)
            except MethodNotAllowed:
                await self._delete_each(resource, name, listing.items)
            listing = await self._client.list(resource, name, into=MetaView, limit=_SAMPLE_MAX)
        except (ApiError, ValueError) as error:
            return with_error(found, resource, name, str(error)[:256])
        return with_content(found, resource, name, listing.items, now=self._clock.now())

    async def _delete_each(self, resource: Resource, name: str, items: tuple[MetaView, ...]) -> None:
        for item in items:
            try:
                await self._client.delete(resource, item.metadata.name, name, uid=item.metadata.uid)
            except NotFound:
                continue

    async def _report(self, namespace: Namespace, status: dict[str, Any]) -> None:
        patch = {"metadata": {"uid": namespace.metadata.uid}, "status": status}
        try:
            written = await self._client.patch(
                NAMESPACES, namespace.metadata.name, patch, into=MetaView, subresource="status"
            )
        except NotFound:
            return
        self._own.wrote(namespace.metadata.key, self._namespaces, written.metadata)

    async def _finalize(self, namespace: Namespace) -> None:
        name = namespace.metadata.name
        try:
            live = await self._client.get(NAMESPACES, name, into=dict)
            if live["metadata"]["uid"] != namespace.metadata.uid:
                return
            left = [entry for entry in live["spec"].get("finalizers") or () if entry != FINALIZER]
            live["spec"] = {**live["spec"], "finalizers": left}
            await self._client.update(NAMESPACES, name, live, into=MetaView, subresource="finalize")
        except NotFound:
            return
        logger.info("namespace.released", namespace=name)
