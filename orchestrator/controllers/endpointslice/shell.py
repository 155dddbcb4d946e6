"""Carries out the endpoints decisions, for EndpointSlices and for Endpoints."""

from __future__ import annotations

from orchestrator.api.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES
from orchestrator.api.views.cluster import Endpoints, EndpointSlice, Node, Service
from orchestrator.api.views.meta import MetaView
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.context import Context
from orchestrator.controllers.endpointslice import decide_endpoints
from orchestrator.controllers.endpointslice.decide import (
    MANAGED_BY,
    MANAGER,
    SERVICE_NAME,
    Decision,
    body_of,
    decide,
    has_endpoints,
    selects,
)
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.refusals import namespace_is_going
from orchestrator.machinery.errors import ApiError, Conflict, NotFound, RetryLater
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

ZONE = "topology.kubernetes.io/zone"

# How long changes are gathered after a write: a tenth of a second for a few pods, a second for a thousand.
_GATHER_S = 0.1
_GATHER_EACH_S = 0.001
_GATHER_MAX_S = 1.0


class _ServicePods:
    """What both controllers share: which services a change concerns, how soon, and a service's pods.

    A pod that stops serving is told at once, for its clients' sake. Pods that come are gathered for a moment that grows
    with the service, because each write carries a whole slice to every node. `patience` lengthens that moment.
    """

    def __init__(self, context: Context, queue: WorkQueue, *, patience: float = 1.0) -> None:
        self._patience = patience
        self._services, self._all_pods = context.informers.services, context.informers.pods
        self._queue, self._clock = queue, context.clock
        # When each service may be written again for a pod that comes; dropped with the service.
        self._not_before: dict[str, float] = {}
        self._services.subscribe(self._service_changed)
        self._all_pods.subscribe(self._pod_changed)

    def of(self, service: Service) -> list[Pod]:
        candidates = self._all_pods.by_index("namespace", service.metadata.namespace)
        pods = [pod for pod in candidates if selects(service, pod.metadata.labels)]
        gather_s = min(_GATHER_S + _GATHER_EACH_S * len(pods), _GATHER_MAX_S)
        self._not_before[service.metadata.key] = self._clock.monotonic() + gather_s * self._patience
        return pods

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        changed = new or old
        assert changed is not None
        if new is None:
            self._not_before.pop(changed.metadata.key, None)
        self._queue.add(changed.metadata.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        if old is not None and new is not None and _same_for_services(old, new):
            return
        seen = [one.metadata.labels for one in (old, new) if one is not None]
        is_urgent = old is not None and _serves(old) and (new is None or not _serves(new))
        now_s = self._clock.monotonic()
        for service in self._services.by_index("namespace", pod.metadata.namespace):
            if has_endpoints(service) and any(selects(service, labels) for labels in seen):
                key = service.metadata.key
                self._queue.add_after(key, 0.0 if is_urgent else self._not_before.get(key, 0.0) - now_s)


class EndpointSliceController:
    """Keeps every service's EndpointSlices."""

    name = "endpointslice"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("endpoint-slice-controller")
        self._informers = context.informers
        self._services, self._slices = context.informers.services, context.informers.endpointslices
        self._nodes = context.informers.nodes
        self._queue = WorkQueue()
        self._pods = _ServicePods(context, self._queue)
        self._own = OwnWrites(self._queue)
        self._slices.subscribe(self._slice_changed)
        self._nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=5)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for one in (old, new):
            if one is not None and one.metadata.labels.get(MANAGED_BY) == MANAGER:
                self._queue.add(f"{one.metadata.namespace}/{one.metadata.labels.get(SERVICE_NAME, '')}")

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        before = old.metadata.labels.get(ZONE) if old is not None else None
        after = new.metadata.labels.get(ZONE) if new is not None else None
        if before != after:
            for service in self._services.values():
                self._queue.add(service.metadata.key)

    async def sync(self, key: str) -> None:
        """Bring one service's slices up to date."""
        service = self._services.get(key)
        if service is None or not has_endpoints(service) or service.metadata.deletion_timestamp is not None:
            # Its slices go with it: the garbage collector follows their owner reference.
            self._own.forget(key)
            return
        self._own.require_seen(key)
        slices = [
            one
            for one in self._slices.by_index("service", key)
            if one.metadata.labels.get(MANAGED_BY) == MANAGER and _owned_by(one, service)
        ]
        decision = decide(service, self._pods.of(service), self._zones(), slices)
        await self._carry_out(service, decision)

    def _zones(self) -> dict[str, str]:
        return {
            node.metadata.name: zone
            for node in self._nodes.values()
            if (zone := node.metadata.labels.get(ZONE)) is not None
        }

    async def _carry_out(self, service: Service, decision: Decision) -> None:
        key, namespace = service.metadata.key, service.metadata.namespace
        try:
            for wanted in decision.create:
                made = await self._client.create(ENDPOINTSLICES, body_of(service, wanted), namespace, into=MetaView)
                self._own.wrote(key, self._slices, made.metadata)
            for wanted in decision.update:
                assert wanted.replaces is not None
                name = wanted.replaces.metadata.name
                try:
                    written = await self._client.update(
                        ENDPOINTSLICES, name, body_of(service, wanted), namespace, into=MetaView
                    )
                except NotFound as gone:
                    raise Conflict(f"endpoint slice '{name}' is gone") from gone
                self._own.wrote(key, self._slices, written.metadata)
        except Conflict:
            raise
        except ApiError as error:
            if namespace_is_going(error):
                return
            message = f"Error updating Endpoint Slices for Service {key}: {error.message}"
            self._recorder.warning(SERVICES, service, "FailedToUpdateEndpointSlices", message)
            raise
        for one in decision.delete:
            try:
                await self._client.delete(ENDPOINTSLICES, one.metadata.name, namespace, uid=one.metadata.uid)
            except (NotFound, Conflict):
                continue
            self._own.deleted(key, self._slices, one.metadata)


class EndpointsController:
    """Keeps every service's Endpoints object."""

    name = "endpoints"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("endpoint-controller")
        self._informers = context.informers
        self._services, self._endpoints = context.informers.services, context.informers.endpoints
        self._queue = WorkQueue()
        # Proxies read slices; whoever still reads these large objects can wait a little for pods that come.
        self._pods = _ServicePods(context, self._queue, patience=5.0)
        self._own = OwnWrites(self._queue)
        # Services that went while we watched: their Endpoints go too, whoever wrote them.
        self._departed: set[str] = set()
        self._endpoints.subscribe(self._endpoints_changed)
        self._services.subscribe(self._service_departed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=5)

    def _endpoints_changed(self, old: Endpoints | None, new: Endpoints | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue.add(changed.metadata.key)

    def _service_departed(self, old: Service | None, new: Service | None) -> None:
        if new is None:
            assert old is not None
            self._departed.add(old.metadata.key)

    async def sync(self, key: str) -> None:
        """Bring one service's Endpoints up to date."""
        self._own.require_seen(key)
        service, present = self._services.get(key), self._endpoints.get(key)
        if service is None:
            self._own.forget(key)
            ours = present is not None and bool(present.metadata.labels.get(decide_endpoints.MANAGED_BY))
            if present is not None and (ours or key in self._departed):
                await self._delete(present)
            self._departed.discard(key)
            return
        self._departed.discard(key)
        if not has_endpoints(service) or service.metadata.deletion_timestamp is not None:
            return
        pods = self._pods.of(service)
        subsets = decide_endpoints.subsets_of(service, pods)
        if present is not None and decide_endpoints.is_as_wanted(present, service, subsets):
            return
        truncated = decide_endpoints.is_truncated(service, pods)
        body = decide_endpoints.body_of(service, subsets, present, truncated=truncated)
        namespace = service.metadata.namespace
        try:
            if present is None:
                written = await self._client.create(ENDPOINTS, body, namespace, into=MetaView)
            else:
                written = await self._client.update(ENDPOINTS, service.metadata.name, body, namespace, into=MetaView)
        except NotFound as gone:
            raise RetryLater(f"endpoints '{key}' are gone", delay_s=0.1) from gone
        except Conflict:
            raise
        except ApiError as error:
            if namespace_is_going(error):
                return
            message = f"Failed to update endpoint {key}: {error.message}"
            self._recorder.warning(SERVICES, service, "FailedToUpdateEndpoint", message)
            raise
        self._own.wrote(key, self._endpoints, written.metadata)

    async def _delete(self, present: Endpoints) -> None:
        meta = present.metadata
        try:
            await self._client.delete(ENDPOINTS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return


def _serves(pod: Pod) -> bool:
    return pod.is_ready and not pod.is_terminating and not pod.is_finished


def _same_for_services(old: Pod, new: Pod) -> bool:
    return (
        old.metadata.labels == new.metadata.labels
        and old.status.pod_ip == new.status.pod_ip
        and old.spec.node_name == new.spec.node_name
        and old.is_ready == new.is_ready
        and old.is_finished == new.is_finished
        and old.is_terminating == new.is_terminating
    )


def _owned_by(one: EndpointSlice, service: Service) -> bool:
    # A namesake's slices, left from a service that was deleted, are the garbage collector's.
    owner = one.metadata.controller
    return owner is None or owner.uid == service.metadata.uid
