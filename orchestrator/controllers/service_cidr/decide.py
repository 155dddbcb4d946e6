"""What a ServiceCIDR's finalizer and its condition `Ready` shall be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.api.views.cluster import ServiceCidr
from orchestrator.api.views.meta import Condition
from orchestrator.controllers.conditions import with_condition

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = "Ready"


@dataclass(frozen=True, slots=True)
class Decision:
    """The finalizers and conditions as they shall be; None where they are so already."""

    finalizers: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


def decide(
    cidr: ServiceCidr, others: Sequence[ServiceCidr], addresses: Iterable[str], *, served: str, now: str
) -> Decision:
    """`others` are all other ServiceCIDRs, `addresses` the names of all IPAddresses.

    `served` is the network that the nodes lead to their proxies, `now` the time as a timestamp.
    """
    meta = cidr.metadata
    finalizers = tuple(one for one in meta.finalizers if one != FINALIZER)
    if meta.deletion_timestamp is None:
        wanted = _ready(cidr, served, now)
        finalizers = meta.finalizers if FINALIZER in meta.finalizers else (*meta.finalizers, FINALIZER)
    elif _is_needed(cidr, others, addresses):
        words = (
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
        )
        wanted, finalizers = _condition("False", "Terminating", words, now), meta.finalizers
    else:
        return Decision(finalizers if finalizers != meta.finalizers else None)
    conditions = with_condition(cidr.status.conditions, wanted)
    return Decision(
        finalizers if finalizers != meta.finalizers else None,
        conditions if conditions != cidr.status.conditions else None,
    )


def _ready(cidr: ServiceCidr, served: str, now: str) -> Condition:
    network = ipaddress.ip_network(served)
    foreign = [one for one in cidr.spec.cidrs if not _is_within(one, network)]
    if not foreign:
        return _condition("True", "", "Kubernetes Service CIDR is ready", now)
    words = f"{', '.join(foreign)}: nodes lead {served} to their proxies, and no other network of services"
    return _condition("False", "NotServed", words, now)


def _is_within(cidr: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    one = ipaddress.ip_network(cidr)
    if isinstance(one, ipaddress.IPv4Network) and isinstance(network, ipaddress.IPv4Network):
        return one.subnet_of(network)
    if isinstance(one, ipaddress.IPv6Network) and isinstance(network, ipaddress.IPv6Network):
        return one.subnet_of(network)
    return False


def _is_needed(cidr: ServiceCidr, others: Sequence[ServiceCidr], addresses: Iterable[str]) -> bool:
    """Whether an address lies in it and in no other that stays."""
    own = [ipaddress.ip_network(one) for one in cidr.spec.cidrs]
    staying = [
        ipaddress.ip_network(one)
        for other in others
        if other.metadata.deletion_timestamp is None
        for one in other.spec.cidrs
    ]
    for name in addresses:
        address = ipaddress.ip_address(name)
        if any(address in network for network in own) and not any(address in network for network in staying):
            return True
    return False


def _condition(status: str, reason: str, message: str, now: str) -> Condition:
    return Condition(type=READY, status=status, reason=reason, message=message, last_transition_time=now)
