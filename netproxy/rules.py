"""Which address and port leads to which back ends: services and endpoint slices in, rules and their changes out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from orchestrator.api.views.network import (
    SERVICE_PROXY_NAME_LABEL,
    Endpoint,
    EndpointSlice,
    Service,
    ServicePort,
)

# An address that means "every address of this node": node ports.
ANY_ADDRESS = "0.0.0.0"

# Kubernetes' default for `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
AFFINITY_DEFAULT_S = 10_800


class Frontend(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """What a client dials. `protocol` is TCP or UDP."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.protocol.lower()}://{self.address}:{self.port}"


class Backend(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """Where a connection may go."""

    address: str
    port: int


class Rule(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What happens to the connections of a frontend.

    Without back ends they are refused. `affinity_s` > 0 keeps a client on its back end for that long;
    `sources`, if any, are the networks that may connect.
    """

    service: str  # namespace/name:port, as metrics and logs call it
    backends: tuple[Backend, ...] = ()
    affinity_s: int = 0
    sources: tuple[str, ...] = ()


class Put(msgspec.Struct, frozen=True, array_like=True, tag="put", gc=False):
    """From now on, `rule` holds for `frontend`, whether it is new or known."""

    frontend: Frontend
    rule: Rule


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop", gc=False):
    """`frontend` exists no longer; its open connections may go on."""

    frontend: Frontend


Change = Put | Drop
Rules = Mapping[Frontend, Rule]


class Here(msgspec.Struct, frozen=True):
    """The node that the rules are for."""

    node: str
    zone: str = ""


def rules_of(service: Service, slices: Iterable[EndpointSlice], here: Here) -> dict[Frontend, Rule]:
    """The rules that one service asks for on this node, given the slices that belong to it."""
    if service.spec.type == "ExternalName" or service.headless or not service.spec.cluster_ip:
        return {}
    if SERVICE_PROXY_NAME_LABEL in service.metadata.labels:
        return {}  # somebody else's proxy serves it

    slices = [piece for piece in slices if piece.address_type == "IPv4"]
    rules: dict[Frontend, Rule] = {}
    for port in service.spec.ports:
        if port.protocol in ("TCP", "UDP"):
            rules.update(_rules_of_port(service, port, _candidates(port, slices), here))
    return rules


def merge(parts: Mapping[str, Rules], *, reserved: Iterable[Frontend] = ()) -> dict[Frontend, Rule]:
    """All services' rules as one table; where two claim a frontend, the first key in order has it.

    `reserved` frontends are ours (DNS) and belong to no service.
    """
    taken = set(reserved)
    table: dict[Frontend, Rule] = {}
    for key in sorted(parts):
        for frontend, rule in parts[key].items():
            if frontend not in table and frontend not in taken:
                table[frontend] = rule
    return table


def diff(old: Rules, new: Rules) -> tuple[Change, ...]:
    """The changes that turn `old` into `new`, removals first so that an address can change hands."""
    drops = [Drop(frontend) for frontend in old if frontend not in new]
    puts: list[Put] = []
    for frontend, rule in new.items():
        known = old.get(frontend)
        if known is not rule and known != rule:  # most are the very same object, and comparing costs more than asking
            puts.append(Put(frontend, rule))
    return (*drops, *puts)


def apply(rules: Rules, changes: Iterable[Change]) -> dict[Frontend, Rule]:
    """`rules` after `changes`."""
    table = dict(rules)
    for change in changes:
        match change:
            case Put(frontend, rule):
                table[frontend] = rule
            case Drop(frontend):
                table.pop(frontend, None)
    return table


def _rules_of_port(
    service: Service, port: ServicePort, candidates: Sequence[tuple[Endpoint, int]], here: Here
) -> dict[Frontend, Rule]:
    spec = service.spec
    name = f"{service.metadata.key}:{port.name}" if port.name else service.metadata.key
    affinity_s = _affinity_s(service)
    inside = Rule(name, select(candidates, here, local=spec.internal_traffic_policy == "Local"), affinity_s)
    outside = Rule(name, select(candidates, here, local=spec.external_traffic_policy == "Local"), affinity_s)

    rules = {Frontend(port.protocol, spec.cluster_ip, port.port): inside}
    for address in spec.external_ips:
        rules[Frontend(port.protocol, address, port.port)] = outside
    if port.node_port and spec.type in ("NodePort", "LoadBalancer"):
        rules[Frontend(port.protocol, ANY_ADDRESS, port.node_port)] = outside
    if spec.type == "LoadBalancer":
        guarded = Rule(name, outside.backends, affinity_s, spec.load_balancer_source_ranges)
        for ingress in service.status.load_balancer.ingress:
            if ingress.ip and ingress.ip_mode != "Proxy":
                rules[Frontend(port.protocol, ingress.ip, port.port)] = guarded
    return {front: rule for front, rule in rules.items() if _can_be_dialled(front.address, front.port)}


def select(candidates: Sequence[tuple[Endpoint, int]], here: Here, *, local: bool) -> tuple[Backend, ...]:
    """The back ends to use on this node, sorted: the ready ones; if none is, those that still serve while they end.

    `local` is a traffic policy: nothing but this node's own. Otherwise topology hints narrow the choice, if every
    ready endpoint has them and one of them means us.
    """
    if local:
        candidates = [(endpoint, port) for endpoint, port in candidates if endpoint.node_name == here.node]
    ready = [(endpoint, port) for endpoint, port in candidates if endpoint.ready]
    if ready:
        chosen = ready if local else _hinted(ready, here)
    else:
        chosen = [(endpoint, port) for endpoint, port in candidates if endpoint.last_resort]
    return tuple(sorted({Backend(endpoint.addresses[0], port) for endpoint, port in chosen}))


def _can_be_dialled(address: str, port: int) -> bool:
    """Whether a socket takes it without looking up a name: the data path must not stumble over one odd object."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return 0 < port < 65_536


def _hinted(ready: Sequence[tuple[Endpoint, int]], here: Here) -> Sequence[tuple[Endpoint, int]]:
    for names, our_name in (
        ([_names(endpoint, "for_nodes") for endpoint, _ in ready], here.node),
        ([_names(endpoint, "for_zones") for endpoint, _ in ready], here.zone),
    ):
        if our_name and all(names) and any(our_name in hinted for hinted in names):
            return [candidate for candidate, hinted in zip(ready, names, strict=True) if our_name in hinted]
    return ready


def _names(endpoint: Endpoint, which: str) -> tuple[str, ...]:
    hinted = getattr(endpoint.hints, which) if endpoint.hints else None
    return tuple(entry.name for entry in hinted or ())


def _candidates(port: ServicePort, slices: Iterable[EndpointSlice]) -> list[tuple[Endpoint, int]]:
    found: list[tuple[Endpoint, int]] = []
    for piece in slices:
        for offered in piece.ports or ():
            if (offered.name or "") == port.name and (offered.protocol or "TCP") == port.protocol and offered.port:
                found += [
                    (endpoint, offered.port)
                    for endpoint in piece.endpoints or ()
                    if endpoint.addresses and _can_be_dialled(endpoint.addresses[0], offered.port)
                ]
    return found


def _affinity_s(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    chosen = config.client_ip.timeout_seconds if config and config.client_ip else None
    return chosen or AFFINITY_DEFAULT_S
