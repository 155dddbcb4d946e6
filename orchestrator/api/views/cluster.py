"""Views for the controllers of the cluster itself: namespaces, nodes, services and their endpoints."""

from __future__ import annotations

import msgspec

from orchestrator.api.views.meta import Condition, ObjectMeta, View


class NamespaceSpec(View, frozen=True):
    """What has to happen before a namespace may go."""

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(View, frozen=True):
    """Active or Terminating, and what a deletion waits for."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(View, frozen=True):
    """A namespace."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class Taint(View, frozen=True):
    """`v1.Taint`."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class NodeSpec(View, frozen=True):
    """The part of a node's spec that controllers read."""

    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeStatus(View, frozen=True):
    """A node's conditions."""

    conditions: tuple[Condition, ...] = ()


class Node(View, frozen=True):
    """A node as controllers see it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if the node has it."""
        return next((condition for condition in self.status.conditions if condition.type == type_), None)


class ServiceCidrSpec(View, frozen=True):
    """The networks, one of a family."""

    cidrs: tuple[str, ...] = ()


class ServiceCidrStatus(View, frozen=True):
    """Whether addresses come from it."""

    conditions: tuple[Condition, ...] = ()


class ServiceCidr(View, frozen=True):
    """A network that service addresses come from."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceCidrSpec = ServiceCidrSpec()
    status: ServiceCidrStatus = ServiceCidrStatus()


class ServicePort(View, frozen=True):
    """One port of a service; `target_port` is a number or the name of a container's port."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    target_port: int | str = 0
    app_protocol: str | None = None


class ServiceSpec(View, frozen=True):
    """The part of a service's spec that endpoints depend on."""

    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    publish_not_ready_addresses: bool = False


class Service(View, frozen=True):
    """A service, as the endpoint controllers see it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()


class TargetRef(View, frozen=True, omit_defaults=True):
    """The pod behind an endpoint."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class EndpointConditions(View, frozen=True):
    """Whether an endpoint takes traffic, could take it, and is going away."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(View, frozen=True, omit_defaults=True):
    """`discovery.k8s.io/v1 Endpoint`."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    target_ref: TargetRef | None = None
    node_name: str | None = None
    zone: str | None = None


class EndpointPort(View, frozen=True, omit_defaults=True):
    """`discovery.k8s.io/v1 EndpointPort`."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(View, frozen=True):
    """An EndpointSlice of ours, whole: it is compared with what it should be."""

    metadata: ObjectMeta = ObjectMeta()
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class EndpointAddress(View, frozen=True, omit_defaults=True):
    """`v1.EndpointAddress`."""

    ip: str = ""
    hostname: str = ""
    node_name: str | None = None
    target_ref: TargetRef | None = None


class EndpointsPort(View, frozen=True, omit_defaults=True):
    """`v1.EndpointPort` of Endpoints."""

    name: str = ""
    port: int = 0
    protocol: str = ""
    app_protocol: str | None = None


class EndpointSubset(View, frozen=True, omit_defaults=True):
    """Addresses that share ports."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointsPort, ...] = ()


class Endpoints(View, frozen=True):
    """A service's Endpoints, whole."""

    metadata: ObjectMeta = ObjectMeta()
    subsets: tuple[EndpointSubset, ...] = ()
