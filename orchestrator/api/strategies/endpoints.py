"""Endpoints and EndpointSlices: addresses that traffic may go to, and ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, duplicate, invalid, not_supported, required, too_many
from orchestrator.api.strategies.metadata import validate_labels
from orchestrator.api.strategies.rules import (
    PROTOCOLS,
    Problems,
    immutable,
    ip_address,
    is_label,
    label,
    one_of,
    parse_ip,
    port_number,
    qualified_name,
    routable_ip,
    subdomain,
    unique,
)
from orchestrator.api.strategies.spec_status import Named

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_IP_VERSIONS = {"IPv4": 4, "IPv6": 6}
_ADDRESSES_MAX = 100
_PORTS_MAX = 20000
_ENDPOINTS_MAX = 1000
_TOPOLOGY_MAX = 16
_HINTS_MAX = 8
_DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class _Endpoints(Named):
    has_generation = False
    must_exist_for_update = False

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def rules(self, obj: Object) -> Sequence[Problem]:
        problems: Problems = []
        for index, subset in enumerate(obj.get("subsets") or ()):
            path = f"subsets[{index}]"
            ready, not_ready = subset.get("addresses") or (), subset.get("notReadyAddresses") or ()
            if not ready and not not_ready:
                problems.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
            for position, address in enumerate(ready):
                problems += _address(address, f"{path}.addresses[{position}]")
            for position, address in enumerate(not_ready):
                problems += _address(address, f"{path}.notReadyAddresses[{position}]")
            ports = subset.get("ports") or ()
            for position, port in enumerate(ports):
                problems += _port(port, f"{path}.ports[{position}]", name_needed=len(ports) > 1)
        return problems

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        return (_DEPRECATED,)


def _address(address: Mapping[str, Any], path: str) -> Problems:
    ip = address.get("ip", "")
    problems = ip_address(f"{path}.ip", ip)
    if hostname := address.get("hostname"):
        problems += label(f"{path}.hostname", hostname)
    if (node := address.get("nodeName")) is not None:
        problems += subdomain(f"{path}.nodeName", node)
    return problems + routable_ip(f"{path}.ip", ip)


def _port(port: Mapping[str, Any], path: str, *, name_needed: bool) -> Problems:
    problems: Problems = []
    if name := port.get("name"):
        problems += label(f"{path}.name", name)
    elif name_needed:
        problems.append(required(f"{path}.name"))
    problems += port_number(f"{path}.port", port.get("port", 0))
    problems += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    if (protocol := port.get("appProtocol")) is not None:
        problems += qualified_name(f"{path}.appProtocol", protocol)
    return problems


class _EndpointSlices(Named):
    def default(self, obj: Object) -> None:
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                port["protocol"] = "TCP"

    def rules(self, obj: Object) -> Sequence[Problem]:
        kind = obj.get("addressType", "")
        problems = one_of("addressType", kind, _ADDRESS_TYPES)
        endpoints = obj.get("endpoints") or ()
        if len(endpoints) > _ENDPOINTS_MAX:
            problems.append(too_many("endpoints", len(endpoints), _ENDPOINTS_MAX))
        else:
            for index, endpoint in enumerate(endpoints):
                problems += _endpoint(endpoint, kind, f"endpoints[{index}]")
        return problems + _slice_ports(obj.get("ports") or ())

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return immutable("addressType", obj.get("addressType"), old.get("addressType"))


def _endpoint(endpoint: Mapping[str, Any], kind: str, path: str) -> Problems:
    problems: Problems = []
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        problems.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _ADDRESSES_MAX:
        problems.append(too_many(f"{path}.addresses", len(addresses), _ADDRESSES_MAX))
    for index, address in enumerate(addresses):
        problems += _typed_address(kind, address, f"{path}.addresses[{index}]")
    if (node := endpoint.get("nodeName")) is not None:
        problems += subdomain(f"{path}.nodeName", node)
    if topology := endpoint.get("deprecatedTopology"):
        if len(topology) > _TOPOLOGY_MAX:
            problems.append(too_many(f"{path}.deprecatedTopology", len(topology), _TOPOLOGY_MAX))
        problems += validate_labels(topology, f"{path}.deprecatedTopology")
    if (hostname := endpoint.get("hostname")) is not None:
        problems += label(f"{path}.hostname", hostname)
    hints = endpoint.get("hints") or {}
    for name in ("forZones", "forNodes"):
        if targets := hints.get(name):
            problems += _hints(targets, f"{path}.hints.{name}")
    return problems


def _typed_address(kind: str, address: str, path: str) -> Problems:
    if kind == "FQDN":
        problems = subdomain(path, address.removesuffix("."))
        if not problems and "." not in address.removesuffix("."):
            words = "should be a domain with at least two segments separated by dots"
            problems.append(invalid(path, address, words))
        return problems
    if kind not in _IP_VERSIONS:
        return []
    parsed = parse_ip(address)
    problems = []
    if parsed is None or parsed.version != _IP_VERSIONS[kind]:
        problems.append(invalid(path, address, f"must be a valid {kind} address"))
    return problems + routable_ip(path, address)


def _hints(targets: Sequence[Mapping[str, Any]], path: str) -> Problems:
    if len(targets) > _HINTS_MAX:
        return [too_many(path, len(targets), _HINTS_MAX)]
    problems: Problems = []
    seen: set[str] = set()
    for index, target in enumerate(targets):
        field, name = f"{path}[{index}].name", target.get("name", "")
        problems += unique(field, name, seen)
        problems += subdomain(field, name) if path.endswith("forNodes") else qualified_name(field, name)
    return problems


def _slice_ports(ports: Sequence[Mapping[str, Any]]) -> Problems:
    if len(ports) > _PORTS_MAX:
        return [too_many("ports", len(ports), _PORTS_MAX)]
    problems: Problems = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name, protocol = port.get("name") or "", port.get("protocol")
        if name and is_label(name):
            problems += label(f"ports[{index}].name", name)
        if name in seen:
            problems.append(duplicate(f"ports[{index}].name", name))
        seen.add(name)
        if protocol is None:
            problems.append(required(f"ports[{index}].protocol"))
        elif protocol not in PROTOCOLS:
            problems.append(not_supported(f"ports[{index}].protocol", protocol, PROTOCOLS))
        if (application := port.get("appProtocol")) is not None:
            problems += qualified_name(f"ports[{index}].appProtocol", application)
    return problems


ENDPOINTS_STRATEGY = _Endpoints()
ENDPOINTSLICES_STRATEGY = _EndpointSlices()
