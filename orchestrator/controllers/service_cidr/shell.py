"""Writes what was decided about a ServiceCIDR."""

from __future__ import annotations

from orchestrator.api.resources import IPADDRESSES, SERVICECIDRS
from orchestrator.api.views.cluster import ServiceCidr
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.service_cidr.decide import decide
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import Conflict, NotFound
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work


class ServiceCidrController:
    """Keeps every ServiceCIDR's finalizer and condition. The network that is served is in our settings."""

    name = "service-cidr"

    def __init__(self, context: Context) -> None:
        self._served = context.config.service_cidr
        self._client, self._clock = context.client, context.clock
        self._informers = context.informers
        self._cidrs = context.informers.of(SERVICECIDRS, ServiceCidr)
        self._addresses = context.informers.metadata_of(IPADDRESSES)
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._cidrs.subscribe(self._cidr_changed)
        self._addresses.subscribe(self._address_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock)

    def _cidr_changed(self, old: ServiceCidr | None, new: ServiceCidr | None) -> None:
        for cidr in self._cidrs.values():  # one that comes may let another go
            self._queue.add(cidr.metadata.name)

    def _address_changed(self, old: MetaView | None, new: MetaView | None) -> None:
        if new is not None:
            return
        for cidr in self._cidrs.values():
            if cidr.metadata.deletion_timestamp is not None:
                self._queue.add(cidr.metadata.name)

    async def sync(self, key: str) -> None:
        """Bring one ServiceCIDR to what it shall be."""
        cidr = self._cidrs.get(key)
        if cidr is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        decision = decide(
            cidr,
            [other for other in self._cidrs.values() if other.metadata.name != key],
            [address.metadata.name for address in self._addresses.values()],
            served=self._served,
            now=timestamp(self._clock.now()),
        )
        meta = {"uid": cidr.metadata.uid, "resourceVersion": cidr.metadata.resource_version}
        try:
            if decision.conditions is not None:
                body = {"metadata": meta, "status": {"conditions": decision.conditions}}
                written = await self._client.patch(SERVICECIDRS, key, body, subresource="status", into=MetaView)
                meta = {**meta, "resourceVersion": written.metadata.resource_version}
                self._own.wrote(key, self._cidrs, written.metadata)
            if decision.finalizers is not None:
                body = {"metadata": {**meta, "finalizers": decision.finalizers}}
                written = await self._client.patch(SERVICECIDRS, key, body, into=MetaView)
                self._own.wrote(key, self._cidrs, written.metadata)
        except (Conflict, NotFound):
            return  # changed, or gone, since it was read: its event brings the key back
