"""Carries out the deletion of namespaces: everything in them first, found by discovery, then the finalizer."""

from __future__ import annotations

from typing import Any

from orchestrator.api.codec import decode, encode
from orchestrator.api.resources import NAMESPACES, PODS, Resource
from orchestrator.api.views.cluster import Namespace
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.context import Context
from orchestrator.controllers.namespace.decide import (
    FINALIZER,
    Found,
    conditions_of,
    is_ours,
    may_finalize,
    resources_in,
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
        found = await self._empty(key)
        conditions = conditions_of(namespace, found, self._clock.now())
        if conditions != namespace.status.conditions and not may_finalize(found):
            await self._report(namespace, {"phase": "Terminating", "conditions": conditions})
        if may_finalize(found):
            await self._finalize(namespace)
            return
        waiting = sorted(resource.plural for resource, items in found.remaining.items() if items)
        raise RetryLater(f"content remains: {', '.join(waiting) or 'not known'}", delay_s=_LOOK_AGAIN_S)

    async def _empty(self, name: str) -> Found:
        try:
            resources = await self._discover()
        except (ApiError, Unreachable) as error:
            return Found(remaining={}, discovery_error=str(error)[:256])
        remaining: dict[Resource, tuple[MetaView, ...]] = {}
        errors: list[str] = []
        # Pods take longest, so they start first.
        for resource in sorted(resources, key=lambda resource: resource != PODS):
            try:
                remaining[resource] = await self._delete_all(resource, name)
            except ApiError as error:
                errors.append(f"{resource.group_resource}: {error.message}")
        return Found(remaining=remaining, deletion_errors=errors)

    async def _delete_all(self, resource: Resource, name: str) -> tuple[MetaView, ...]:
        listing = await self._client.list(resource, name, into=MetaView, limit=_SAMPLE_MAX)
        if not listing.items:
            return ()
        if any(item.metadata.deletion_timestamp is None for item in listing.items):
            logger.info("namespace.empty", namespace=name, resource=resource.group_resource)
            options = encode({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
            try:
                await self._client.request("DELETE", resource.path(name), body=options)
            except MethodNotAllowed:
                await self._delete_each(resource, name, listing.items)
            listing = await self._client.list(resource, name, into=MetaView, limit=_SAMPLE_MAX)
        return listing.items

    async def _delete_each(self, resource: Resource, name: str, items: tuple[MetaView, ...]) -> None:
        for item in items:
            try:
                await self._client.delete(resource, item.metadata.name, name, uid=item.metadata.uid)
            except NotFound:
                continue

    async def _discover(self) -> tuple[Resource, ...]:
        core = decode(await self._client.request("GET", "/api/v1"))
        found = list(resources_in("", "v1", core))
        groups = decode(await self._client.request("GET", "/apis"))
        for group in groups.get("groups") or ():
            # One version of each group is enough: they show the same objects.
            name, version = group["name"], group["preferredVersion"]["version"]
            if name == "events.k8s.io":
                continue  # the core group's events, seen another way
            listing = decode(await self._client.request("GET", f"/apis/{name}/{version}"))
            found += resources_in(name, version, listing)
        return tuple(found)

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
