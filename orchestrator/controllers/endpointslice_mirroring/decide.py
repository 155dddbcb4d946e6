"""What slices hand-written Endpoints should have."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from orchestrator.api.views.cluster import (
    Endpoint,
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointsPort,
    EndpointSubset,
    Service,
)

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"

#: Kubernetes' limit of addresses that are mirrored of each subset; a slice may hold as many.
ADDRESSES_MAX = 1_000

# What tells of the Endpoints alone is not the slices'.
_OWN_ANNOTATIONS = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
)

Ports = tuple[EndpointPort, ...]
#: Kubernetes tells addresses apart by these: the IP, and the uid of what they point at.
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredSlice:
    """What a slice should be. `replaces` is the slice to change; None: a new one."""

    address_type: str
    endpoints: tuple[Endpoint, ...]
    ports: Ports
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    replaces: EndpointSlice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Slices to create, to change and to delete; how many addresses are no IPs, and how many were too many."""

    create: tuple[MirroredSlice, ...] = ()
    update: tuple[MirroredSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()
    invalid: int = 0
    too_many: int = 0


def is_mirrored(endpoints: Endpoints | None) -> bool:
    """Whether the Endpoints are to be copied, as far as they say."""
    if endpoints is None:
        return False
    meta = endpoints.metadata
    return meta.labels.get(SKIP) != "true" and LEADER not in meta.annotations


def decide(endpoints: Endpoints | None, service: Service | None, slices: Sequence[EndpointSlice]) -> Decision:
    """Compare hand-written Endpoints with the slices that mirror them."""
    present = [one for one in slices if one.metadata.deletion_timestamp is None]
    if endpoints is None or not is_mirrored(endpoints) or service is None or service.spec.selector:
        return Decision(delete=tuple(present))
    wanted, invalid, too_many = wanted_of(endpoints)
    labels = {**endpoints.metadata.labels, SERVICE_NAME: endpoints.metadata.name, MANAGED_BY: MANAGER}
    annotations = {key: value for key, value in endpoints.metadata.annotations.items() if key not in _OWN_ANNOTATIONS}
    create: list[MirroredSlice] = []
    update: list[MirroredSlice] = []
    delete: list[EndpointSlice] = []
    found: dict[tuple[str, Ports], EndpointSlice] = {}
    for one in sorted(present, key=lambda one: (one.metadata.creation_timestamp, one.metadata.name)):
        known = found.setdefault((one.address_type, one.ports), one)
        if known is not one or (one.address_type, one.ports) not in wanted:
            delete.append(one)
    for (address_type, ports), content in wanted.items():
        old = found.get((address_type, ports))
        mirrored = MirroredSlice(
            address_type=address_type,
            endpoints=content,
            ports=ports,
            labels=labels,
            annotations=annotations,
            replaces=old,
        )
        if old is None:
            create.append(mirrored)
        elif (old.endpoints, old.metadata.labels, old.metadata.annotations) != (content, labels, annotations):
            update.append(mirrored)
    return Decision(
        create=tuple(create), update=tuple(update), delete=tuple(delete), invalid=invalid, too_many=too_many
    )


def wanted_of(endpoints: Endpoints) -> tuple[dict[tuple[str, Ports], tuple[Endpoint, ...]], int, int]:
    """The endpoints by address family and ports, how many addresses are no IPs, and how many were too many."""
    wanted: dict[tuple[str, Ports], list[Endpoint]] = {}
    invalid = too_many = 0
    for subset in repacked(endpoints.subsets):
        ports = tuple(
            EndpointPort(
                name=port.name, protocol=port.protocol or "TCP", port=port.port, app_protocol=port.app_protocol
            )
            for port in subset.ports
        )
        added = 0
        for ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            for address in addresses:
                family = _family(address.ip)
                if added >= ADDRESSES_MAX:
                    too_many += 1
                elif family is None:
                    invalid += 1
                else:
                    added += 1
                    wanted.setdefault((family, ports), []).append(_endpoint(address, ready=ready))
    return {key: tuple(content) for key, content in wanted.items()}, invalid, too_many


def repacked(subsets: Sequence[EndpointSubset]) -> list[EndpointSubset]:
    """The same endpoints with each port in one subset, and ports with the same addresses in the same.

    Not ready trumps ready. All is in an order of its own, so that the order of the input changes nothing.
    """
    addresses: dict[_Key, EndpointAddress] = {}
    by_port: dict[EndpointsPort | None, dict[_Key, bool]] = {}
    for subset in subsets:
        keyed = [
            (key, ready)
            for ready, given in ((True, subset.addresses), (False, subset.not_ready_addresses))
            for key in _keys_of(given, addresses)
        ]
        for port in subset.ports or (None,):
            known = by_port.setdefault(port, {})
            for key, ready in keyed:
                known[key] = ready and known.get(key, True)
    groups: dict[tuple[tuple[_Key, bool], ...], list[EndpointsPort]] = {}
    for port, states in by_port.items():
        if states:
            group = groups.setdefault(tuple(sorted(states.items())), [])
            group += [port] if port is not None else []
    made = [
        EndpointSubset(
            addresses=tuple(addresses[key] for key, ready in content if ready),
            not_ready_addresses=tuple(addresses[key] for key, ready in content if not ready),
            ports=tuple(sorted(ports, key=_port_order)),
        )
        for content, ports in groups.items()
    ]
    return sorted(made, key=lambda subset: [_port_order(port) for port in subset.ports])


def _keys_of(given: Sequence[EndpointAddress], addresses: dict[_Key, EndpointAddress]) -> list[_Key]:
    keys = []
    for address in given:
        key = (address.ip, address.target_ref.uid if address.target_ref is not None else "")
        addresses.setdefault(key, address)
        keys.append(key)
    return keys


def _port_order(port: EndpointsPort) -> tuple[str, int, str, str]:
    return (port.name, port.port, port.protocol, port.app_protocol or "")


def _family(address: str) -> str | None:
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return None


def _endpoint(address: EndpointAddress, *, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(address.ip,),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        target_ref=address.target_ref,
        node_name=address.node_name,
    )


def body_of(endpoints: Endpoints, wanted: MirroredSlice) -> dict[str, object]:
    """The EndpointSlice object to write."""
    meta = endpoints.metadata
    owner = {"apiVersion": "v1", "kind": "Endpoints", "name": meta.name, "uid": meta.uid}
    metadata: dict[str, object] = {
        "labels": dict(wanted.labels),
        "annotations": dict(wanted.annotations),
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    if wanted.replaces is None:
        metadata["generateName"] = f"{meta.name}-"
    else:
        metadata["name"] = wanted.replaces.metadata.name
        metadata["resourceVersion"] = wanted.replaces.metadata.resource_version
        metadata["finalizers"] = list(wanted.replaces.metadata.finalizers)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": wanted.address_type,
        "endpoints": [msgspec.to_builtins(endpoint) for endpoint in wanted.endpoints],
        "ports": [msgspec.to_builtins(port) for port in wanted.ports],
    }
