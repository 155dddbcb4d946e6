"""What every controller is built from: the client, one shared informer per resource, clock, recorder, settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from orchestrator.api import resources
from orchestrator.api.resources import Resource
from orchestrator.api.views import cluster, workloads
from orchestrator.api.views.meta import LeaseView, MetaView, ObjectReference
from orchestrator.api.views.sharing import Sharing
from orchestrator.controllers.slim import slim, slim_endpoints, slim_slice
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.informer import PAGE_ITEMS, HasMetadata, Informer
from orchestrator.machinery.recorder import EventRecorder

V = TypeVar("V", bound=HasMetadata)
Index = Callable[[Any], Iterable[str]]

NODE_LEASE_NAMESPACE = "kube-node-lease"
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllersConfig:
    """Settings of the controllers; the defaults are Kubernetes' own."""

    cluster_cidr: str = "10.244.0.0/16"
    """Where nodes' pod ranges are cut from."""
    service_cidr: str = "10.96.0.0/16"
    """The network that nodes lead to their proxies."""
    node_cidr_bits: int = 24
    """Prefix length of one node's pod range."""
    node_monitor_grace_s: float = 40.0
    """A node whose lease was not renewed for this long is Unknown; ten times the agents' renewal, say."""
    node_monitor_period_s: float = 2.0
    """How often we make sure that the API answers us: while it does not, no node counts as silent."""
    orphan_quarantine_s: float = 40.0
    """How long a node must be gone before its pods are deleted by force."""
    terminated_pods_max: int = 12_500
    """Finished pods kept in the cluster; the oldest beyond that are deleted."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of controllers that other parts bring (certificates' signer, for one), by their name."""


def _namespace(view: HasMetadata) -> Iterable[str]:
    return (view.metadata.namespace,)


def _owners(view: HasMetadata) -> Iterable[str]:
    return [reference.uid for reference in view.metadata.owner_references]


def _orphan(view: HasMetadata) -> Iterable[str]:
    return () if view.metadata.controller else (view.metadata.namespace,)


def _node(pod: workloads.Pod) -> Iterable[str]:
    return (pod.spec.node_name,) if pod.spec.node_name else ()


def _service(view: HasMetadata) -> Iterable[str]:
    name = view.metadata.labels.get(SERVICE_NAME)
    return (f"{view.metadata.namespace}/{name}",) if name else ()


# Every informer indexes owners, because the garbage collector asks each resource for an owner's dependents.
_EXTRA_INDEXES: dict[Resource, dict[str, Index]] = {
    resources.PODS: {"orphan": _orphan, "namespace": _namespace, "node": _node},
    resources.REPLICASETS: {"orphan": _orphan, "namespace": _namespace},
    resources.DEPLOYMENTS: {"namespace": _namespace},
    resources.STATEFULSETS: {"namespace": _namespace},
    resources.SERVICES: {"namespace": _namespace},
    resources.CONTROLLERREVISIONS: {"orphan": _orphan},
    resources.ENDPOINTSLICES: {"service": _service},
}


# Endpoints share with their pods, so they are listed after them; each object holds a hundred and more.
_AFTER_PODS = (resources.ENDPOINTSLICES, resources.ENDPOINTS)
_LARGE_PAGE_ITEMS = 100


class Informers:
    """One informer per resource, made when first asked for and shared by all controllers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[Resource, Informer[Any]] = {}
        self._views: dict[Resource, type] = {}
        self._group: asyncio.TaskGroup | None = None
        sharing = Sharing()
        self._keeps: dict[Resource, Callable[[Any], Any]] = {
            resources.PODS: lambda pod: slim(pod, sharing, self._pod(pod.metadata.key)),
            resources.ENDPOINTSLICES: lambda whole: slim_slice(whole, sharing, self._pod),
            resources.ENDPOINTS: lambda whole: slim_endpoints(whole, sharing, self._pod),
        }

    def of(self, resource: Resource, view: type[V]) -> Informer[V]:
        """The informer of a resource. All who ask must want the same view: one cache, one decoding."""
        informer = self._informers.get(resource)
        if informer is None:
            indexes: dict[str, Index] = {"owner": _owners, **_EXTRA_INDEXES.get(resource, {})}
            keep = self._keeps.get(resource)
            page_items = _LARGE_PAGE_ITEMS if resource in _AFTER_PODS else PAGE_ITEMS
            informer = Informer(self._client, resource, view, indexes=indexes, keep=keep, page_items=page_items)
            self._informers[resource], self._views[resource] = informer, view
            if self._group is not None:
                self._run(self._group, informer)
        assert self._views[resource] is view, f"{resource.plural} are watched as {self._views[resource].__name__}"
        return cast("Informer[V]", informer)

    def metadata_of(self, resource: Resource) -> Informer[Any]:
        """The informer of a resource for those who need no more than metadata: whatever view it holds."""
        return self._informers.get(resource) or self.of(resource, MetaView)

    def run_in(self, group: asyncio.TaskGroup) -> None:
        """Run every informer asked for so far, and from here on each as soon as it is first asked for."""
        self._group = group
        for informer in self.all():
            self._run(group, informer)

    def _run(self, group: asyncio.TaskGroup, informer: Informer[Any]) -> None:
        async def run() -> None:
            pods = self._informers.get(resources.PODS)
            if informer.resource in _AFTER_PODS and pods is not None:
                await pods.wait_synced()
            await informer.run()

        group.create_task(run(), name=f"informer-{informer.resource.plural}")

    def _pod(self, key: str) -> workloads.Pod | None:
        informer = self._informers.get(resources.PODS)
        return informer.get(key) if informer is not None else None

    def all(self) -> tuple[Informer[Any], ...]:
        """Every informer asked for so far."""
        return tuple(self._informers.values())

    def failure(self) -> str | None:
        """What keeps the first of them that has trouble from being current; None when all is well."""
        return next((why for informer in self.all() if (why := informer.failure()) is not None), None)

    async def wait_synced(self) -> None:
        """Return once every cache has been filled."""
        for informer in self.all():
            await informer.wait_synced()

    @property
    def pods(self) -> Informer[workloads.Pod]:
        return self.of(resources.PODS, workloads.Pod)

    @property
    def replicasets(self) -> Informer[workloads.ReplicaSet]:
        return self.of(resources.REPLICASETS, workloads.ReplicaSet)

    @property
    def deployments(self) -> Informer[workloads.Deployment]:
        return self.of(resources.DEPLOYMENTS, workloads.Deployment)

    @property
    def statefulsets(self) -> Informer[workloads.StatefulSet]:
        return self.of(resources.STATEFULSETS, workloads.StatefulSet)

    @property
    def controllerrevisions(self) -> Informer[workloads.ControllerRevision]:
        return self.of(resources.CONTROLLERREVISIONS, workloads.ControllerRevision)

    @property
    def namespaces(self) -> Informer[cluster.Namespace]:
        return self.of(resources.NAMESPACES, cluster.Namespace)

    @property
    def nodes(self) -> Informer[cluster.Node]:
        return self.of(resources.NODES, cluster.Node)

    @property
    def leases(self) -> Informer[LeaseView]:
        return self.of(resources.LEASES, LeaseView)

    @property
    def services(self) -> Informer[cluster.Service]:
        return self.of(resources.SERVICES, cluster.Service)

    @property
    def endpoints(self) -> Informer[cluster.Endpoints]:
        return self.of(resources.ENDPOINTS, cluster.Endpoints)

    @property
    def endpointslices(self) -> Informer[cluster.EndpointSlice]:
        return self.of(resources.ENDPOINTSLICES, cluster.EndpointSlice)

    @property
    def serviceaccounts(self) -> Informer[MetaView]:
        return self.of(resources.SERVICEACCOUNTS, MetaView)


class Recorder:
    """Where a controller's events go, under its own component name."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def normal(self, resource: Resource, view: HasMetadata, reason: str, message: str) -> None:
        """Something happened as it should."""
        self._recorder.event(reference_to(resource, view), type="Normal", reason=reason, message=message)

    def warning(self, resource: Resource, view: HasMetadata, reason: str, message: str) -> None:
        """Something did not work."""
        self._recorder.event(reference_to(resource, view), type="Warning", reason=reason, message=message)


def reference_to(resource: Resource, view: HasMetadata) -> ObjectReference:
    """The reference by which an event names the object."""
    meta = view.metadata
    return ObjectReference(
        api_version=resource.api_version,
        kind=resource.kind,
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a controller is built from."""

    client: Client
    clock: Clock
    informers: Informers
    config: ControllersConfig
    recorders: dict[str, EventRecorder] = field(default_factory=dict)

    def recorder(self, component: str) -> Recorder:
        """The recorder of one component, `replicaset-controller` say; its sending is run by the registry."""
        if component not in self.recorders:
            self.recorders[component] = EventRecorder(self.client, self.clock, component=component)
        return Recorder(self.recorders[component])


Run = Callable[[], Coroutine[Any, Any, None]]
