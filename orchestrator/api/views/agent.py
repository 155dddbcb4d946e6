"""Slim views for the node agent: its node, the other nodes' routes, services as variables."""

from __future__ import annotations

import msgspec

from orchestrator.api.views.meta import Condition, ObjectMeta, View


class NodeSpec(View, frozen=True):
    """The pod addresses of a node."""

    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    unschedulable: bool = False


class NodeAddress(View, frozen=True):
    """An address of a node; `type` is InternalIP, Hostname and so on."""

    type: str = ""
    address: str = ""


class NodeStatus(View, frozen=True):
    """The addresses and conditions of a node."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Node(View, frozen=True):
    """A node, as the agent of this or another one needs it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def internal_ip(self) -> str:
        """Its address within the cluster; "" if it has none."""
        return next((one.address for one in self.status.addresses if one.type == "InternalIP"), "")


class ServicePort(View, frozen=True):
    """A port of a service."""

    name: str = ""
    port: int = 0
    protocol: str = "TCP"


class ServiceSpec(View, frozen=True):
    """A service's address and ports."""

    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: tuple[ServicePort, ...] = ()


class Service(View, frozen=True):
    """A service, as its variables in a container need it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
