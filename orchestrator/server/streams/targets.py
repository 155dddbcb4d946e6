"""Which container of a pod is meant, and where its node's agent is reached. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from yarl import URL

from orchestrator.api.views.meta import ObjectMeta, View
from orchestrator.machinery.errors import BadRequest, ServiceUnavailable

_KUBELET_PORT = 10250


class _Container(View, frozen=True):
    name: str = ""


class _PodSpec(View, frozen=True):
    node_name: str = ""
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] | None = ()
    ephemeral_containers: tuple[_Container, ...] | None = ()


class PodView(View, frozen=True):
    """A pod: where it runs, and its containers' names."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _PodSpec = _PodSpec()


class _Address(View, frozen=True):
    type: str = ""
    address: str = ""


class _KubeletEndpoint(View, frozen=True):
    # The one field in the API that starts with a capital.
    port: int = msgspec.field(default=_KUBELET_PORT, name="Port")


class _DaemonEndpoints(View, frozen=True):
    kubelet_endpoint: _KubeletEndpoint = _KubeletEndpoint()


class _NodeStatus(View, frozen=True):
    addresses: tuple[_Address, ...] = ()
    daemon_endpoints: _DaemonEndpoints = _DaemonEndpoints()


class NodeView(View, frozen=True):
    """A node: where its agent listens."""

    metadata: ObjectMeta = ObjectMeta()
    status: _NodeStatus = _NodeStatus()


@dataclass(frozen=True, slots=True)
class Kubelet:
    """An agent's address and port."""

    host: str
    port: int

    def url(self, path: str, query: Sequence[tuple[str, str]] = ()) -> URL:
        """The URL of a path of its API; a parameter may occur several times."""
        return URL.build(scheme="https", host=self.host, port=self.port, path=path).with_query(list(query))


def kubelet_of(node: NodeView) -> Kubelet:
    """Where the node's agent is. Raises `ServiceUnavailable` for a node that has told no address yet."""
    for wanted in ("InternalIP", "Hostname", "InternalDNS", "ExternalIP"):
        for address in node.status.addresses:
            if address.type == wanted and address.address:
                return Kubelet(address.address, node.status.daemon_endpoints.kubelet_endpoint.port or _KUBELET_PORT)
    raise ServiceUnavailable(f"no preferred addresses found for node '{node.metadata.name}'; known addresses: []")


def chosen_container(pod: PodView, name: str) -> str:
    """The container asked for, or the only one. Raises `BadRequest` in Kubernetes' words."""
    spec = pod.spec
    init = tuple(spec.init_containers or ())
    if name:
        if all(container.name != name for container in (*spec.containers, *init, *(spec.ephemeral_containers or ()))):
            raise BadRequest(f"container {name} is not valid for pod {pod.metadata.name}")
        return name
    if len(spec.containers) == 1:
        return spec.containers[0].name
    message = (
        f"a container name must be specified for pod {pod.metadata.name}, choose one of: [{_names(spec.containers)}]"
    )
    if init:
        message += f" or one of the init containers: [{_names(init)}]"
    raise BadRequest(message)


def _names(containers: Sequence[_Container]) -> str:
    return " ".join(container.name for container in containers)
