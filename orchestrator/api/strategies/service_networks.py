"""IPAddresses, which say to whom a service address belongs, and ServiceCIDRs, the networks that they come from."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import names
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid, required
from orchestrator.api.strategies.rules import Problems, each, immutable, subdomain
from orchestrator.api.strategies.spec_status import Named, SpecAndStatus, default_conditions

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FAMILIES_MAX = 2
_LENGTH = re.compile(r"[0-9]{1,3}")


class _IpAddresses(Named):
    """`networking.k8s.io/v1 IPAddress`: its name is the address."""

    namespaced = False

    def name_rule(self, name: str) -> Sequence[str]:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return [f'ParseAddr("{name}"): unable to parse IP']
        return [] if str(address) == name else ["must be a canonical format IP address"]

    def rules(self, obj: Object) -> Sequence[Problem]:
        parent = (obj.get("spec") or {}).get("parentRef")
        return [required("spec.parentRef")] if parent is None else _parent(parent, "spec.parentRef")

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        new, before = ((one.get("spec") or {}).get("parentRef") for one in (obj, old))
        return immutable("spec.parentRef", new, before)


def _parent(parent: Mapping[str, Any], field: str) -> Problems:
    problems: Problems = []
    if group := parent.get("group"):  # services are of the core group, whose name is empty
        problems += subdomain(f"{field}.group", group)
    for part, is_needed in (("resource", True), ("name", True), ("namespace", False)):
        value = parent.get(part) or ""
        if value:
            problems += each(f"{field}.{part}", value, names.is_valid_path_segment(value))
        elif is_needed:
            problems.append(required(f"{field}.{part}"))
    return problems


class _ServiceCidrs(SpecAndStatus):
    """`networking.k8s.io/v1 ServiceCIDR`: one network, or one of each family."""

    namespaced = False

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        super().prepare_status_update(obj, old)
        default_conditions(obj)

    def rules(self, obj: Object) -> Sequence[Problem]:
        spec, field = obj.get("spec") or {}, "spec.cidrs"
        cidrs = spec.get("cidrs") or []
        if not cidrs:
            return [required(field, "at least one CIDR required")]
        if len(cidrs) > _FAMILIES_MAX:
            return [invalid(field, spec, "may only hold up to 2 values")]
        found = [_network(cidr) for cidr in cidrs]
        if len(found) == _FAMILIES_MAX and (
            None in found or len({one.version for one in found if one is not None}) < _FAMILIES_MAX
        ):
            words = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            return [invalid(field, spec, words)]
        return [
            problem
            for index, (cidr, network) in enumerate(zip(cidrs, found, strict=True))
            for problem in _cidr(f"{field}[{index}]", cidr, network)
        ]

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        new, before = ((one.get("spec") or {}).get("cidrs") or [] for one in (obj, old))
        # A network of the other family may be added later: that is how a cluster becomes dual-stack.
        if len(before) == 1 and len(new) == _FAMILIES_MAX:
            return immutable("spec.cidrs[0]", new[0], before[0])
        return immutable("spec.cidrs", new, before)


def _network(cidr: str) -> Network | None:
    if not _LENGTH.fullmatch(cidr.partition("/")[2]):
        return None
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return None


def _cidr(field: str, cidr: str, network: Network | None) -> Problems:
    if network is None:
        return [invalid(field, cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
    address, _, length = cidr.partition("/")
    if length != str(network.prefixlen):
        return [invalid(field, cidr, "must not have leading 0s in IP or prefix length")]
    if ipaddress.ip_address(address) != network.network_address:
        return [invalid(field, cidr, "must not have bits set beyond the prefix length")]
    return []


IPADDRESSES_STRATEGY = _IpAddresses()
SERVICECIDRS_STRATEGY = _ServiceCidrs()
