"""The rules of services: ports, addresses and families, traffic policies, and what may change of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.problems import duplicate, forbidden, invalid, not_supported, required
from orchestrator.api.strategies.metadata import validate_labels
from orchestrator.api.strategies.rules import (
    PROTOCOLS,
    Problems,
    ip_address,
    label,
    network,
    one_of,
    parse_ip,
    port_number,
    port_number_or_name,
    qualified_name,
    routable_ip,
    subdomain,
    supported_if_set,
    unique,
)

NONE = "None"
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_FAMILIES = ("IPv4", "IPv6")
_CLUSTER_FAMILIES = ("IPv4",)
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_TRAFFIC_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_AFFINITY_SECONDS_MAX = 86400
_KUBELET_PORT = 10250
_LOAD_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_SET_ONCE = "may not change once set"


def service_type(spec: Mapping[str, Any]) -> str:
    """The type, said or implied."""
    return spec.get("type") or "ClusterIP"


def is_headless(spec: Mapping[str, Any]) -> bool:
    """A service that has no address of its own, only those of its pods."""
    return list(spec.get("clusterIPs") or [spec.get("clusterIP")]) == [NONE]


def needs_node_ports(spec: Mapping[str, Any]) -> bool:
    """Whether the type gives a service ports on every node."""
    return service_type(spec) in ("NodePort", "LoadBalancer")


def validate_service(obj: Object) -> Problems:
    """All rules of a service's spec; it must have been defaulted."""
    spec = obj.get("spec") or {}
    kind, headless = service_type(spec), is_headless(spec)
    ports = spec.get("ports") or ()
    problems: Problems = []
    if not ports and not headless and kind != "ExternalName":
        problems.append(required("spec.ports"))
    problems += _of_type(spec, kind, headless=headless)
    names: set[str] = set()
    for index, port in enumerate(ports):
        problems += _port(port, f"spec.ports[{index}]", names, name_needed=len(ports) > 1)
    if selector := spec.get("selector"):
        problems += validate_labels(selector, "spec.selector")
    problems += _affinity(spec)
    if kind != "ExternalName":
        problems += validate_cluster_ips(spec) or _cluster_families(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{index}]"
        problems += ip_address(field, address) or routable_ip(field, address)
    problems += one_of("spec.type", kind, _TYPES)
    problems += _node_ports(ports, kind)
    problems += _repeated_ports(ports)
    problems += _load_balancer(spec, kind, (obj.get("metadata") or {}).get("annotations") or {})
    return problems + _traffic(spec, kind)


def _of_type(spec: Mapping[str, Any], kind: str, *, headless: bool) -> Problems:
    problems: Problems = []
    if kind in ("LoadBalancer", "NodePort") and headless:
        words = f"may not be set to 'None' for {kind} services"
        problems.append(invalid("spec.clusterIPs[0]", NONE, words))
    if kind == "LoadBalancer":
        words = f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
        problems += [
            invalid(f"spec.ports[{index}]", _KUBELET_PORT, words)
            for index, port in enumerate(spec.get("ports") or ())
            if port.get("port") == _KUBELET_PORT
        ]
    if kind == "ExternalName":
        words = "may not be set for ExternalName services"
        problems += [
            forbidden(f"spec.{name}", words)
            for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(name)
        ]
        name = (spec.get("externalName") or "").removesuffix(".")
        problems += subdomain("spec.externalName", name) if name else [required("spec.externalName")]
    return problems


def _port(port: Mapping[str, Any], path: str, names: set[str], *, name_needed: bool) -> Problems:
    problems: Problems = []
    if name := port.get("name"):
        problems += label(f"{path}.name", name) + unique(f"{path}.name", name, names)
    elif name_needed:
        problems.append(required(f"{path}.name"))
    problems += port_number(f"{path}.port", port.get("port", 0))
    problems += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    problems += port_number_or_name(f"{path}.targetPort", port.get("targetPort", 0))
    if (application := port.get("appProtocol")) is not None:
        problems += qualified_name(f"{path}.appProtocol", application)
    return problems


def _affinity(spec: Mapping[str, Any]) -> Problems:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    field = "spec.sessionAffinityConfig"
    problems = one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "None" and config is not None:
        problems.append(forbidden(field, "must not be set when session affinity is None"))
    if affinity == "ClientIP":
        timeout = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        field = f"{field}.clientIP.timeoutSeconds"
        if timeout is None:
            problems.append(required(field, "when session affinity type is ClientIP"))
        elif not 0 < timeout <= _AFFINITY_SECONDS_MAX:
            words = f"must be greater than 0 and less than {_AFFINITY_SECONDS_MAX}"
            problems.append(invalid(field, timeout, words))
    return problems


def validate_cluster_ips(spec: Mapping[str, Any]) -> Problems:
    """The rules of the addresses, their families and the policy that relates them."""
    problems: Problems = []
    address, addresses = spec.get("clusterIP") or "", list(spec.get("clusterIPs") or ())
    field = "spec.clusterIPs"
    if not address and addresses:
        problems.append(invalid(field, addresses, "must be empty when `clusterIP` is not specified"))
    if address and not addresses:
        problems.append(required(field))
    elif address and addresses[0] != address:
        problems.append(invalid(field, addresses, "first value must match `clusterIP`"))
    families = list(spec.get("ipFamilies") or ())
    seen: set[str] = set()
    for index, family in enumerate(families):
        at = f"spec.ipFamilies[{index}]"
        problems += supported_if_set(at, family, _FAMILIES) + unique(at, family, seen)
    problems += supported_if_set("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), _FAMILY_POLICIES)
    faults: Problems = []
    for index, value in enumerate(addresses):
        if index == 0 and value == NONE:
            if len(addresses) > 1:
                faults.append(invalid(field, addresses, "'None' must be the first and only value"))
            continue
        faults += ip_address(f"{field}[{index}]", value)
    if len(addresses) > 2:
        problems.append(invalid(field, addresses, "may only hold up to 2 values"))
    if faults:
        return problems + faults
    return problems + _families_of_addresses(addresses, families, field)


def _cluster_families(spec: Mapping[str, Any]) -> Problems:
    """What a cluster whose addresses are of one family cannot give; a headless service without selector needs none."""
    if is_headless(spec) and not spec.get("selector"):
        return []
    problems: Problems = []
    policy = spec.get("ipFamilyPolicy")
    if policy == "RequireDualStack":
        words = "this cluster is not configured for dual-stack services"
        problems.append(invalid("spec.ipFamilyPolicy", policy, words))
    for name in ("clusterIPs", "ipFamilies"):
        if policy == "SingleStack" and len(spec.get(name) or ()) > 1:
            words = f"must be RequireDualStack or PreferDualStack when multiple '{name}' are specified"
            problems.append(invalid("spec.ipFamilyPolicy", policy, words))
    problems += [
        invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(spec.get("ipFamilies") or ())
        if family in _FAMILIES and family not in _CLUSTER_FAMILIES
    ]
    return problems


def _families_of_addresses(addresses: Sequence[str], families: Sequence[str], field: str) -> Problems:
    if not addresses or addresses[0] == NONE:
        return []
    problems: Problems = []
    versions = [parsed.version for value in addresses if (parsed := parse_ip(value)) is not None]
    if len(versions) > 1 and len(set(versions)) < 2:
        words = "may specify no more than one IP for each IP family"
        problems.append(invalid(field, list(addresses), words))
    for index, (value, version, family) in enumerate(zip(addresses, versions, families, strict=False)):
        if family in _FAMILIES and family != f"IPv{version}":
            words = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            problems.append(invalid(f"{field}[{index}]", value, words))
    return problems


def _node_ports(ports: Sequence[Mapping[str, Any]], kind: str) -> Problems:
    problems: Problems = []
    taken: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        number = port.get("nodePort")
        if not number:
            continue
        field = f"spec.ports[{index}].nodePort"
        if kind == "ClusterIP":
            problems.append(forbidden(field, "may not be used when `type` is 'ClusterIP'"))
        key = (port.get("protocol", ""), number)
        if key in taken:
            problems.append(duplicate(field, number))
        taken.add(key)
    return problems


def _repeated_ports(ports: Sequence[Mapping[str, Any]]) -> Problems:
    problems: Problems = []
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol"), port.get("port")
        if (protocol, number) in seen:
            shown = {"protocol": protocol, "port": number, "targetPort": 0}
            problems.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add((protocol, number))
    return problems


def _load_balancer(spec: Mapping[str, Any], kind: str, annotations: Mapping[str, str]) -> Problems:
    problems: Problems = []
    balanced = kind == "LoadBalancer"
    if ranges := spec.get("loadBalancerSourceRanges"):
        # The capital is Kubernetes' own.
        field = "spec.LoadBalancerSourceRanges"
        if not balanced:
            problems.append(forbidden(field, _LOAD_BALANCER_ONLY))
        for index, value in enumerate(ranges):
            problems += network(f"{field}[{index}]", value.strip())
    elif (listed := annotations.get(_SOURCE_RANGES)) is not None:
        field = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not balanced:
            problems.append(forbidden(field, _LOAD_BALANCER_ONLY))
        for value in listed.split(",") if listed.strip() else ():
            problems += network(field, value.strip())
    if not balanced:
        problems += [
            forbidden(f"spec.{name}", _LOAD_BALANCER_ONLY)
            for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass")
            if spec.get(name) is not None
        ]
    elif (name := spec.get("loadBalancerClass")) is not None:
        problems += qualified_name("spec.loadBalancerClass", name)
    return problems


def _traffic(spec: Mapping[str, Any], kind: str) -> Problems:
    problems: Problems = []
    external = spec.get("externalTrafficPolicy")
    if not needs_node_ports(spec) and not (kind == "ClusterIP" and spec.get("externalIPs")):
        if external:
            words = "may only be set for externally-accessible services"
            problems.append(invalid("spec.externalTrafficPolicy", external, words))
    else:
        problems += one_of("spec.externalTrafficPolicy", external, _TRAFFIC_POLICIES)
    health = spec.get("healthCheckNodePort")
    if health and not (kind == "LoadBalancer" and external == "Local"):
        words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        problems.append(invalid("spec.healthCheckNodePort", health, words))
    elif health:
        problems += port_number("spec.healthCheckNodePort", health)
    internal = spec.get("internalTrafficPolicy")
    if internal is None and kind != "ExternalName":
        problems.append(required("spec.internalTrafficPolicy"))
    problems += supported_if_set("spec.internalTrafficPolicy", internal, _TRAFFIC_POLICIES)
    return problems + supported_if_set("spec.trafficDistribution", spec.get("trafficDistribution"), _DISTRIBUTIONS)


def validate_service_change(spec: Mapping[str, Any], before: Mapping[str, Any]) -> Problems:
    """What may not change of a service's addresses, families and load balancer."""
    problems: Problems = []
    if "ExternalName" not in (service_type(spec), service_type(before)):
        problems += _changed_addresses(spec, before)
        if not is_headless(spec) and not is_headless(before):
            problems += _changed_families(spec, before)
    if service_type(spec) == service_type(before) == "LoadBalancer":
        name = "loadBalancerClass"
        if spec.get(name) != before.get(name):
            problems.append(invalid(f"spec.{name}", spec.get(name), _SET_ONCE))
        local = spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") == "Local"
        if local and spec.get("healthCheckNodePort", 0) != before.get("healthCheckNodePort", 0):
            problems.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return problems


def _changed_addresses(spec: Mapping[str, Any], before: Mapping[str, Any]) -> Problems:
    addresses, were = list(spec.get("clusterIPs") or ()), list(before.get("clusterIPs") or ())
    if is_headless(spec) and is_headless(before):
        return []
    field = "spec.clusterIPs"
    if len(addresses) == len(were):
        return [
            invalid(f"{field}[{index}]", addresses, _SET_ONCE)
            for index, (value, was) in enumerate(zip(addresses, were, strict=True))
            if value != was
        ]
    problems: Problems = []
    if not addresses:
        problems.append(invalid(f"{field}[0]", addresses, "primary clusterIP can not be unset"))
    elif were and addresses[0] != were[0]:
        problems.append(invalid(f"{field}[0]", addresses, _SET_ONCE))
    policy = spec.get("ipFamilyPolicy")
    if len(were) > len(addresses) == 1 and policy != "SingleStack":
        words = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        problems.append(invalid("spec.ipFamilyPolicy", policy, words))
    return problems


def _changed_families(spec: Mapping[str, Any], before: Mapping[str, Any]) -> Problems:
    families, were = list(spec.get("ipFamilies") or ()), list(before.get("ipFamilies") or ())
    if families == were or not were:
        return []
    field = "spec.ipFamilies[0]"
    if len(families) == len(were):
        changed = sum(family != was for family, was in zip(families, were, strict=True))
        return [invalid(field, families, _SET_ONCE)] * changed
    if not families:
        return [invalid(field, families, "primary ipFamily can not be unset")]
    return [invalid(field, list(spec.get("clusterIPs") or ()), _SET_ONCE)] if families[0] != were[0] else []


def validate_load_balancer_status(obj: Object) -> Problems:
    """The rules of a service's new status."""
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    path = "status.loadBalancer.ingress"
    if ingress and service_type(obj.get("spec") or {}) != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    problems: Problems = []
    for index, point in enumerate(ingress):
        field, address, mode = f"{path}[{index}]", point.get("ip"), point.get("ipMode")
        if address:
            problems += ip_address(f"{field}.ip", address)
        if mode is None:
            if address:
                problems.append(required(f"{field}.ipMode", "must be specified when `ip` is set"))
        elif not address:
            problems.append(forbidden(f"{field}.ipMode", "may not be specified when `ip` is not set"))
        elif mode not in ("Proxy", "VIP"):
            problems.append(not_supported(f"{field}.ipMode", mode, ("Proxy", "VIP")))
        if host := point.get("hostname"):
            problems += subdomain(f"{field}.hostname", host)
            if parse_ip(host) is not None:
                words = "must be a DNS name, not an IP address"
                problems.append(invalid(f"{field}.hostname", host, words))
    return problems
