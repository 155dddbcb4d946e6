"""The objects that a cluster starts with."""

from __future__ import annotations

from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.resources import SERVICES
from orchestrator.server.bootstrap import Addresses, wanted_objects

ADDRESSES = Addresses(
    advertise_address="10.0.0.1",
    port=6443,
    kubernetes_service="10.96.0.1",
    dns_service="10.96.0.10",
    service_cidr="10.96.0.0/16",
)


def test_cluster_info_sends_nobody_to_what_is_not_served() -> None:
    """`kubectl cluster-info` prints the proxy's URL of each service with this label."""
    services = BUILT_IN.find(SERVICES.group, SERVICES.version, SERVICES.plural)
    assert services is not None
    has_proxy = any(subresource.name == "proxy" for subresource in services.subresources)
    advertised = [
        wanted.obj["metadata"]["name"]
        for wanted in wanted_objects(ADDRESSES)
        if wanted.resource == SERVICES and "kubernetes.io/cluster-service" in wanted.obj["metadata"].get("labels", {})
    ]
    assert has_proxy or advertised == []
