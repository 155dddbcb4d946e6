"""Columns of Services and what they lead to."""

from __future__ import annotations

from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import AGE, NAME, NONE, UNKNOWN, UNSET, Column, joined, joined_map

#: How many addresses or ports are written out; of the rest only the number is.
_SHOWN_MAX = 3


def _spec(obj: Object) -> dict[str, Any]:
    return obj.get("spec") or {}


def _external(obj: Object, now: float) -> str:
    spec = _spec(obj)
    external = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return joined(external)
        case "LoadBalancer":
            balancer = (obj.get("status") or {}).get("loadBalancer") or {}
            addresses = {entry.get("ip") or entry.get("hostname") for entry in balancer.get("ingress") or ()}
            return joined(sorted(filter(None, addresses)) + external, "<pending>")
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def _service_ports(obj: Object, now: float) -> str:
    shown = []
    for port in _spec(obj).get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return joined(shown)


def _first(items: list[str], empty: str) -> str:
    if len(items) > _SHOWN_MAX:
        return f"{','.join(items[:_SHOWN_MAX])} + {len(items) - _SHOWN_MAX} more..."
    return joined(items, empty)


def _host_port(address: str, port: Any) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoints(obj: Object, now: float) -> str:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        found += [_host_port(address, port.get("port")) for port in ports for address in addresses] or (
            [] if ports else addresses
        )
    return _first(found, "" if obj.get("subsets") else NONE)


def _slice_ports(obj: Object, now: float) -> str:
    return _first([str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()], UNSET)


def _slice_endpoints(obj: Object, now: float) -> str:
    return _first([a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()], UNSET)


def _parent(obj: Object, now: float) -> str:
    parent = _spec(obj).get("parentRef")
    if parent is None:
        return NONE
    resource = ".".join(filter(None, (parent.get("resource", ""), parent.get("group", ""))))
    return "/".join(filter(None, (resource.lower(), parent.get("namespace", ""), parent.get("name", ""))))


SERVICES = (
    NAME,
    Column("Type", lambda obj, now: _spec(obj).get("type", ""), description="How the service is exposed."),
    Column("Cluster-IP", lambda obj, now: _spec(obj).get("clusterIP") or NONE, description="Its address inside."),
    Column("External-IP", _external, description="Its addresses outside."),
    Column("Port(s)", _service_ports, description="Its ports, with the nodes' ports and the protocol."),
    AGE,
    Column(
        "Selector",
        lambda obj, now: joined_map(_spec(obj).get("selector")),
        priority=1,
        description="Which pods the service leads to.",
    ),
)
ENDPOINTS = (NAME, Column("Endpoints", _endpoints, description="The addresses and ports that are ready."), AGE)
ENDPOINTSLICES = (
    NAME,
    Column("AddressType", lambda obj, now: obj.get("addressType", ""), description="The family of its addresses."),
    Column("Ports", _slice_ports, description="The ports of its endpoints."),
    Column("Endpoints", _slice_endpoints, description="The addresses of its endpoints."),
    AGE,
)
IPADDRESSES = (NAME, Column("ParentRef", _parent, description="The object that the address belongs to."), AGE)
SERVICECIDRS = (
    NAME,
    Column("CIDRs", lambda obj, now: joined(_spec(obj).get("cidrs") or []), description="Where addresses come from."),
    AGE,
)
