"""Services: the fields that depend on each other and on the type, and what may change of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from orchestrator.api import names
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem
from orchestrator.api.strategies.service_rules import (
    is_headless,
    needs_node_ports,
    service_type,
    validate_load_balancer_status,
    validate_service,
    validate_service_change,
)
from orchestrator.api.strategies.spec_status import SpecAndStatus, default_conditions, keep
from orchestrator.api.support.gaps import gap_warnings

_AFFINITY_TIMEOUT_S = 10800
_FAMILY = "IPv4"
_BOTH_FAMILIES = ("IPv4", "IPv6")


class _Services(SpecAndStatus):
    has_generation = False
    must_exist_for_update = False
    changes_first = True
    initial_status: ClassVar[Mapping[str, Any]] = {"loadBalancer": {}}

    def name_rule(self, name: str) -> Sequence[str]:
        return names.is_dns1035_label(name)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        spec = obj.setdefault("spec", {})
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        _choose_families(spec)

    def prepare_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "status")
        spec, before = obj.setdefault("spec", {}), old.get("spec") or {}
        _take_over_allocated(spec, before)
        _tie_cluster_ips(spec, before)
        _drop_what_the_type_lacks(spec, before)
        _choose_families(spec)
        if service_type(spec) != "LoadBalancer" and "status" in obj:
            obj["status"] = {**obj["status"], "loadBalancer": {}}

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")
        self.default(obj)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        kind = spec["type"] = service_type(spec)
        _default_affinity(spec)
        for port in spec.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        reachable = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
        if reachable and not spec.get("externalTrafficPolicy"):
            spec["externalTrafficPolicy"] = "Cluster"
        if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        if kind != "ExternalName" and spec.get("internalTrafficPolicy") is None:
            spec["internalTrafficPolicy"] = "Cluster"
        default_conditions(obj)
        for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"

    def rules(self, obj: Object) -> Sequence[Problem]:
        return validate_service(obj)

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return validate_service_change(obj.get("spec") or {}, old.get("spec") or {})

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        return [*self._metadata(obj, old), *validate_load_balancer_status(obj)]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        spec = obj.get("spec") or {}
        warnings: list[str] = []
        if is_headless(spec):
            if spec.get("loadBalancerIP"):
                warnings.append("spec.loadBalancerIP is ignored for headless services")
            if spec.get("externalIPs"):
                warnings.append("spec.externalIPs is ignored for headless services")
            if spec.get("sessionAffinity") not in (None, "", "None"):
                warnings.append("spec.SessionAffinity is ignored for headless services")
        if service_type(spec) != "ExternalName" and spec.get("externalName"):
            warnings.append('spec.externalName is ignored when spec.type is not "ExternalName"')
        if spec.get("trafficDistribution") == "PreferClose":
            words = "spec.trafficDistribution: PreferClose is deprecated in v1.34+, use PreferSameZone"
            warnings.append(words)
        return warnings + gap_warnings("v1.ServiceSpec", spec, "spec")


def _default_affinity(spec: Object) -> None:
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_TIMEOUT_S}}


def _choose_families(spec: Object) -> None:
    """Addresses are of one family here; only a headless service without selector may name both.

    No default: what is left out of an update is what the service has.
    """
    if service_type(spec) == "ExternalName":
        return
    families = spec.get("ipFamilies") or []
    if is_headless(spec) and not spec.get("selector"):
        policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack")
        if not families:
            families = [_FAMILY]
        if len(families) == 1 and policy != "SingleStack":
            families = [*families, *(family for family in _BOTH_FAMILIES if family != families[0])]
        spec["ipFamilies"] = families
        return
    if not families:
        spec["ipFamilies"] = [_FAMILY]
    if spec.get("ipFamilyPolicy") is None:
        spec["ipFamilyPolicy"] = "SingleStack"


def _take_over_allocated(spec: Object, before: Mapping[str, Any]) -> None:
    """What the server gave out and the client leaves out stays as it was."""
    if service_type(spec) != "ExternalName" and service_type(before) != "ExternalName":
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            same = name != "clusterIPs" or spec.get("clusterIP") == before.get("clusterIP")
            if not spec.get(name) and before.get(name) and same:
                spec[name] = before[name]
    if needs_node_ports(spec) and needs_node_ports(before):
        _take_over_node_ports(spec, before)
    if _needs_health_port(spec) and _needs_health_port(before) and not spec.get("healthCheckNodePort"):
        keep(spec, dict(before), "healthCheckNodePort")


def _take_over_node_ports(spec: Object, before: Mapping[str, Any]) -> None:
    was = {port.get("name", ""): port.get("nodePort", 0) for port in _ports(before)}
    used = _node_ports(before) & _node_ports(spec)
    for port in _ports(spec):
        given = was.get(port.get("name", ""), 0)
        if not port.get("nodePort") and given and given not in used:
            port["nodePort"] = given
            used.add(given)


def _tie_cluster_ips(spec: Object, before: Mapping[str, Any]) -> None:
    """The single address and the list are one fact: a change of one is a change of both."""
    address, addresses = spec.get("clusterIP"), spec.get("clusterIPs") or []
    was, were = before.get("clusterIP"), before.get("clusterIPs") or []
    if address != was and (addresses == were or not addresses):
        if address:
            spec["clusterIPs"] = [address]
        else:
            spec.pop("clusterIPs", None)
    elif address == was and were and not addresses:
        spec.pop("clusterIP", None)


def _drop_what_the_type_lacks(spec: Object, before: Mapping[str, Any]) -> None:
    """Fields that another type had filled in, and that the client did not touch, go when the type goes."""
    kind, was = service_type(spec), service_type(before)
    if kind == "ExternalName" and was != "ExternalName":
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(name) == before.get(name):
                spec.pop(name, None)
        if spec.get("clusterIP") == before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
    if needs_node_ports(before) and not needs_node_ports(spec):
        if _node_ports(spec) <= _node_ports(before):
            for port in _ports(spec):
                port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
    untouched = spec.get("healthCheckNodePort") == before.get("healthCheckNodePort")
    if _needs_health_port(before) and not _needs_health_port(spec) and untouched:
        spec.pop("healthCheckNodePort", None)
    if was == "LoadBalancer" and kind != "LoadBalancer":
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(name) == before.get(name):
                spec.pop(name, None)


def _ports(spec: Mapping[str, Any]) -> list[Object]:
    ports = spec.get("ports")
    return ports if isinstance(ports, list) else []


def _node_ports(spec: Mapping[str, Any]) -> set[int]:
    return {port["nodePort"] for port in _ports(spec) if port.get("nodePort")}


def _needs_health_port(spec: Mapping[str, Any]) -> bool:
    return service_type(spec) == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


SERVICES_STRATEGY = _Services()
