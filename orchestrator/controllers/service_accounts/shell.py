"""Creates the service accounts that namespaces lack."""

from __future__ import annotations

from orchestrator.api.resources import SERVICEACCOUNTS
from orchestrator.api.views.cluster import Namespace
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.context import Context
from orchestrator.controllers.service_accounts.decide import NAMES, decide
from orchestrator.machinery.errors import AlreadyExists, NotFound
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work


class ServiceAccountsController:
    """Keeps the `default` service account in every namespace."""

    name = "service-accounts"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._informers = context.informers
        self._namespaces, self._accounts = context.informers.namespaces, context.informers.serviceaccounts
        self._queue = WorkQueue()
        self._namespaces.subscribe(self._namespace_changed)
        self._accounts.subscribe(self._account_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._queue.add(new.metadata.name)

    def _account_changed(self, old: MetaView | None, new: MetaView | None) -> None:
        if old is not None and new is None and old.metadata.name in NAMES:
            self._queue.add(old.metadata.namespace)

    async def sync(self, key: str) -> None:
        """Create what one namespace lacks."""
        namespace = self._namespaces.get(key)
        if namespace is None:
            return
        present = [name for name in NAMES if self._accounts.get(f"{key}/{name}") is not None]
        for name in decide(namespace, present):
            try:
                await self._client.create(
                    SERVICEACCOUNTS,
                    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": key}},
                    key,
                    into=MetaView,
                )
            except (AlreadyExists, NotFound):
                continue  # it is there already, or the namespace is gone
