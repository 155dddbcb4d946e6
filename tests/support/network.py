"""Builders of services, endpoint slices and their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.network import (
    SERVICE_NAME_LABEL,
    ClientIPConfig,
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForZone,
    Service,
    ServicePort,
    ServiceSpec,
    SessionAffinityConfig,
)


def a_port(port: int = 80, name: str = "", *, protocol: str = "TCP", node_port: int = 0) -> ServicePort:
    return ServicePort(name=name, protocol=protocol, port=port, node_port=node_port)


def a_service(
    name: str = "web",
    *,
    namespace: str = "default",
    ip: str = "10.96.0.50",
    ports: Sequence[ServicePort] = (),
    labels: Mapping[str, str] | None = None,
    affinity_s: int | None = None,
    **spec: Any,
) -> Service:
    if affinity_s is not None:
        spec["session_affinity"] = "ClientIP"
        spec["session_affinity_config"] = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=affinity_s))
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace, labels=dict(labels or {})),
        spec=ServiceSpec(cluster_ip=ip, ports=tuple(ports) or (a_port(),), **spec),
    )


def an_endpoint(
    address: str = "10.244.1.5",
    *,
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    node: str | None = None,
    hostname: str | None = None,
    zones: Sequence[str] = (),
    nodes: Sequence[str] = (),
) -> Endpoint:
    hints = None
    if zones or nodes:
        hints = EndpointHints(
            for_zones=tuple(ForZone(name=zone) for zone in zones), for_nodes=tuple(ForZone(name=name) for name in nodes)
        )
    return Endpoint(
        addresses=(address,),
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=hostname,
        node_name=node,
        hints=hints,
    )


def a_slice(
    service: str = "web",
    endpoints: Sequence[Endpoint] = (),
    *,
    namespace: str = "default",
    port: int | None = 8080,
    port_name: str = "",
    protocol: str = "TCP",
    address_type: str = "IPv4",
    suffix: str = "abcde",
) -> EndpointSlice:
    ports = (EndpointPort(name=port_name, protocol=protocol, port=port),) if port is not None else ()
    return EndpointSlice(
        metadata=ObjectMeta(name=f"{service}-{suffix}", namespace=namespace, labels={SERVICE_NAME_LABEL: service}),
        address_type=address_type,
        endpoints=tuple(endpoints),
        ports=ports,
    )
