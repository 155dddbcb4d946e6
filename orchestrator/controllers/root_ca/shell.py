"""Writes the cluster's CA into every namespace, where pods find it beside their token."""

from __future__ import annotations

import asyncio

from orchestrator.api.resources import CONFIGMAPS
from orchestrator.api.views.cluster import Namespace
from orchestrator.api.views.meta import ObjectMeta, View
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.root_ca.decide import KEY, NAME, Step, decide
from orchestrator.machinery.errors import AlreadyExists, Forbidden, NotFound
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

_DESCRIPTION = "The CA by which pods of this cluster know its API server. Changes are undone."


class CopyView(View, frozen=True):
    """The ConfigMap."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] | None = None


class RootCaController:
    """Keeps the ConfigMap in every namespace. The CA (PEM) is in `ControllersConfig.settings` under our name."""

    name = "root-ca"

    def __init__(self, context: Context) -> None:
        self._ca = str(context.config.settings[self.name])
        self._client, self._clock = context.client, context.clock
        self._namespaces = context.informers.namespaces
        # Not the shared informer: there may be many and large ConfigMaps, and only these are wanted.
        self._copies = Informer(context.client, CONFIGMAPS, CopyView, field_selector=f"metadata.name={NAME}")
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._namespaces.subscribe(self._namespace_changed)
        self._copies.subscribe(self._copy_changed)

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copies.run(), name="watch-root-ca")
            await self._copies.wait_synced()
            await self._namespaces.wait_synced()
            await work(self.name, self._queue, self.sync, clock=self._clock)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._queue.add(new.metadata.name)

    def _copy_changed(self, old: CopyView | None, new: CopyView | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue.add(changed.metadata.namespace)

    async def sync(self, key: str) -> None:
        """Write one namespace's copy if it is missing or was changed."""
        namespace = self._namespaces.get(key)
        if namespace is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        copy = self._copies.get(f"{key}/{NAME}")
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": key,
                "annotations": {"kubernetes.io/description": _DESCRIPTION},
            },
            "data": {KEY: self._ca},
        }
        try:
            match decide(namespace, None if copy is None else copy.data or {}, self._ca):
                case Step.CREATE:
                    written = await self._client.create(CONFIGMAPS, body, key, into=CopyView)
                case Step.CORRECT:
                    written = await self._client.update(CONFIGMAPS, NAME, body, key, into=CopyView)
                case Step.NOTHING:
                    return
        except (AlreadyExists, NotFound, Forbidden):
            # The cache is a moment behind, or the namespace is going: either way the watch will bring the key back.
            return
        self._own.wrote(key, self._copies, written.metadata)
