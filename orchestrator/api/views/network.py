"""Views of what the service proxy and DNS read: services, endpoint slices, and a node's name and labels."""

from __future__ import annotations

import msgspec

from orchestrator.api.objects import namespaced_key
from orchestrator.api.views.meta import ObjectMeta, View

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SERVICE_PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
ZONE_LABEL = "topology.kubernetes.io/zone"


class ServicePort(View, frozen=True):
    """`v1.ServicePort`, without `targetPort`: endpoint slices carry its resolved number."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    node_port: int = 0


class ClientIPConfig(View, frozen=True):
    """`v1.ClientIPConfig`."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(View, frozen=True):
    """`v1.SessionAffinityConfig`."""

    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(View, frozen=True):
    """The fields of `v1.ServiceSpec` that decide where its traffic goes and what its names say."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")  # empty until allocated, "None" where headless
    ports: tuple[ServicePort, ...] = ()
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    external_name: str = ""
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None


class LoadBalancerIngress(View, frozen=True):
    """`v1.LoadBalancerIngress`; with ip mode `Proxy` the traffic does not arrive under this address."""

    ip: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(View, frozen=True):
    """`v1.LoadBalancerStatus`."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(View, frozen=True):
    """The part of `v1.ServiceStatus` that names addresses."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(View, frozen=True):
    """A `v1.Service` as proxy and DNS see it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def headless(self) -> bool:
        """Whether it has names but no address of its own."""
        return self.spec.cluster_ip == "None"


class EndpointConditions(View, frozen=True):
    """`discovery.k8s.io/v1 EndpointConditions`; what is not said counts as ready, serving, not terminating."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(View, frozen=True):
    """A zone or node, by name, that should use an endpoint."""

    name: str = ""


class EndpointHints(View, frozen=True):
    """`discovery.k8s.io/v1 EndpointHints`: who should prefer the endpoint."""

    for_zones: tuple[ForZone, ...] | None = None
    for_nodes: tuple[ForZone, ...] | None = None


class Endpoint(View, frozen=True):
    """One back end of a slice; only its first address counts."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    node_name: str | None = None
    hints: EndpointHints | None = None

    @property
    def ready(self) -> bool:
        """Whether it takes new connections."""
        return self.conditions.ready is not False

    @property
    def last_resort(self) -> bool:
        """Whether it is on its way out and still able to serve, for when nothing is ready."""
        serving = self.ready if self.conditions.serving is None else self.conditions.serving
        return serving and self.conditions.terminating is True


class EndpointPort(View, frozen=True):
    """`discovery.k8s.io/v1 EndpointPort`, matched with a service's port by name."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(View, frozen=True):
    """A `discovery.k8s.io/v1 EndpointSlice`."""

    metadata: ObjectMeta = ObjectMeta()
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service_key(self) -> str:
        """`namespace/name` of the service it belongs to; empty if it says none."""
        name = self.metadata.labels.get(SERVICE_NAME_LABEL, "")
        return namespaced_key(self.metadata.namespace, name) if name else ""


class NodeView(View, frozen=True):
    """A node, seen by its name and labels."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def zone(self) -> str:
        """Its zone; empty where nobody labelled it."""
        return self.metadata.labels.get(ZONE_LABEL, "")
