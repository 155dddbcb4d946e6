"""Carries out the mirroring of hand-written Endpoints."""

from __future__ import annotations

from orchestrator.api.resources import ENDPOINTS, ENDPOINTSLICES
from orchestrator.api.views.cluster import Endpoints, EndpointSlice, Service
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.context import Context
from orchestrator.controllers.endpointslice_mirroring.decide import (
    ADDRESSES_MAX,
    MANAGED_BY,
    MANAGER,
    SERVICE_NAME,
    Decision,
    body_of,
    decide,
    is_mirrored,
)
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.refusals import namespace_is_going
from orchestrator.machinery.errors import ApiError, Conflict, NotFound
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)


class EndpointSliceMirroringController:
    """Keeps the slices of Endpoints that users write."""

    name = "endpointslice-mirroring"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("endpoint-slice-mirroring-controller")
        self._informers = context.informers
        self._services, self._slices = context.informers.services, context.informers.endpointslices
        self._endpoints = context.informers.endpoints
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._endpoints.subscribe(self._endpoints_changed)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=5)

    def _endpoints_changed(self, old: Endpoints | None, new: Endpoints | None) -> None:
        changed = new or old
        assert changed is not None
        if is_mirrored(old) or is_mirrored(new):
            self._queue.add(changed.metadata.key)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        changed = new or old
        assert changed is not None
        if old is None or new is None or bool(old.spec.selector) != bool(new.spec.selector):
            self._queue.add(changed.metadata.key)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for one in (old, new):
            if one is not None and one.metadata.labels.get(MANAGED_BY) == MANAGER:
                self._queue.add(f"{one.metadata.namespace}/{one.metadata.labels.get(SERVICE_NAME, '')}")

    async def sync(self, key: str) -> None:
        """Bring the slices of one service's hand-written Endpoints up to date."""
        self._own.require_seen(key)
        endpoints = self._endpoints.get(key)
        if endpoints is not None and endpoints.metadata.deletion_timestamp is not None:
            endpoints = None
        slices = [
            one for one in self._slices.by_index("service", key) if one.metadata.labels.get(MANAGED_BY) == MANAGER
        ]
        decision = decide(endpoints, self._services.get(key), slices)
        if endpoints is None:
            self._own.forget(key)
        else:
            await self._write(key, endpoints, decision)
            self._tell(endpoints, decision)
        for one in decision.delete:
            meta = one.metadata
            try:
                await self._client.delete(ENDPOINTSLICES, meta.name, meta.namespace, uid=meta.uid)
            except (NotFound, Conflict):
                continue
            self._own.deleted(key, self._slices, meta)

    async def _write(self, key: str, endpoints: Endpoints, decision: Decision) -> None:
        namespace = endpoints.metadata.namespace
        try:
            for wanted in decision.create:
                made = await self._client.create(ENDPOINTSLICES, body_of(endpoints, wanted), namespace, into=MetaView)
                self._own.wrote(key, self._slices, made.metadata)
            for wanted in decision.update:
                assert wanted.replaces is not None
                name, body = wanted.replaces.metadata.name, body_of(endpoints, wanted)
                try:
                    written = await self._client.update(ENDPOINTSLICES, name, body, namespace, into=MetaView)
                except NotFound as gone:
                    raise Conflict(f"endpoint slice '{name}' is gone") from gone
                self._own.wrote(key, self._slices, written.metadata)
        except Conflict:
            raise
        except ApiError as error:
            if namespace_is_going(error):
                return
            message = f"Error updating Endpoint Slices for Endpoints {key}: {error.message}"
            self._recorder.warning(ENDPOINTS, endpoints, "FailedToUpdateEndpointSlices", message)
            raise

    def _tell(self, endpoints: Endpoints, decision: Decision) -> None:
        if not decision.create and not decision.update:
            return  # it was told when it was so first
        if decision.invalid:
            message = f"Skipped {decision.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self._recorder.warning(ENDPOINTS, endpoints, "InvalidIPAddress", message)
        if decision.too_many:
            message = (
                f"A max of {ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{decision.too_many + decision.invalid} addresses were skipped"
            )
            self._recorder.warning(ENDPOINTS, endpoints, "TooManyAddressesToMirror", message)
