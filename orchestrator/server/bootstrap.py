"""The objects that a cluster starts with: its namespaces, and the services of its API server and its DNS."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.resources import ENDPOINTS, ENDPOINTSLICES, NAMESPACES, SERVICECIDRS, SERVICES, Resource
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import AlreadyExists, NotFound
from orchestrator.machinery.log import get_logger
from orchestrator.server.admission.namespace_lifecycle import IMMORTAL

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """What the objects say: where the API server is reached, and the two service addresses given out in advance.

    `service_cidr` is where those, and all others, come from.
    """

    advertise_address: str
    port: int
    kubernetes_service: str
    dns_service: str
    service_cidr: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that has to be there; `owned` fields are set back if they differ, the rest is left as it is found."""

    resource: Resource
    obj: Object
    owned: tuple[str, ...] = ()


def wanted_objects(addresses: Addresses) -> Sequence[Wanted]:
    """Everything a cluster starts with, in the order in which it is made.

    Where the API server is reached on loopback only (somebody is trying it out), its service has no endpoints: no pod
    could use them, and the API refuses such addresses.
    """
    is_reachable = not ipaddress.ip_address(addresses.advertise_address).is_loopback
    return (
        *(Wanted(NAMESPACES, _object(NAMESPACES, name)) for name in IMMORTAL),
        Wanted(SERVICECIDRS, _object(SERVICECIDRS, "kubernetes", spec={"cidrs": [addresses.service_cidr]})),
        _kubernetes_service(addresses),
        *(_kubernetes_endpoints(addresses) if is_reachable else ()),
        _dns_service(addresses),
    )


async def ensure(client: Client, addresses: Addresses) -> None:
    """Create what is missing and correct what differs; safe to repeat, and for several API servers at once."""
    for wanted in wanted_objects(addresses):
        metadata = wanted.obj["metadata"]
        namespace = metadata.get("namespace", "")
        try:
            present = await client.get(wanted.resource, metadata["name"], namespace, into=dict)
        except NotFound:
            try:
                await client.create(wanted.resource, wanted.obj, namespace, into=bytes)
            except AlreadyExists:
                continue  # another API server, starting beside us
            logger.info("bootstrap.created", kind=wanted.resource.kind, name=metadata["name"])
            continue
        corrected = {field: wanted.obj[field] for field in wanted.owned if present.get(field) != wanted.obj[field]}
        if corrected:
            body = {**present, **corrected}
            await client.update(wanted.resource, metadata["name"], body, namespace, into=bytes)
            logger.info("bootstrap.corrected", kind=wanted.resource.kind, name=metadata["name"])


def _kubernetes_service(addresses: Addresses) -> Wanted:
    return Wanted(
        SERVICES,
        _object(
            SERVICES,
            "kubernetes",
            namespace="default",
            labels={"component": "apiserver", "provider": "kubernetes"},
            spec={
                "type": "ClusterIP",
                "clusterIP": addresses.kubernetes_service,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": addresses.port}],
                "sessionAffinity": "None",
            },
        ),
    )


def _kubernetes_endpoints(addresses: Addresses) -> Sequence[Wanted]:
    ready = {"ready": True}
    return (
        Wanted(
            ENDPOINTS,
            _object(
                ENDPOINTS,
                "kubernetes",
                namespace="default",
                # The slice below says the same; nobody has to derive one from this.
                labels={"endpointslice.kubernetes.io/skip-mirror": "true"},
                subsets=[
                    {
                        "addresses": [{"ip": addresses.advertise_address}],
                        "ports": [{"name": "https", "port": addresses.port, "protocol": "TCP"}],
                    }
                ],
            ),
            owned=("subsets",),
        ),
        Wanted(
            ENDPOINTSLICES,
            _object(
                ENDPOINTSLICES,
                "kubernetes",
                namespace="default",
                labels={"kubernetes.io/service-name": "kubernetes"},
                addressType="IPv6" if ":" in addresses.advertise_address else "IPv4",
                endpoints=[{"addresses": [addresses.advertise_address], "conditions": ready}],
                ports=[{"name": "https", "port": addresses.port, "protocol": "TCP"}],
            ),
            owned=("endpoints", "ports"),
        ),
    )


def _dns_service(addresses: Addresses) -> Wanted:
    # No selector and no endpoints: every node's own DNS answers at this address. Nor is it marked as a cluster service:
    # `kubectl cluster-info` would send people to it through the API server's proxy for services, which there is not.
    return Wanted(
        SERVICES,
        _object(
            SERVICES,
            "kube-dns",
            namespace="kube-system",
            labels={"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
            spec={
                "type": "ClusterIP",
                "clusterIP": addresses.dns_service,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                ],
            },
        ),
    )


def _object(
    resource: Resource, name: str, *, namespace: str = "", labels: dict[str, str] | None = None, **fields: Any
) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
