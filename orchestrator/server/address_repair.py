"""Puts right what is stored of service addresses and node ports, should it ever say other than the Services do.

Services and what they have are written in one commit, so they agree; unless a store comes from a release that kept no
such objects, somebody changed them by hand, or the settings are others now.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from orchestrator.api.objects import Object
from orchestrator.api.resources import IPADDRESSES, SERVICES
from orchestrator.machinery.clock import Clock, timestamp
from orchestrator.machinery.log import get_logger
from orchestrator.server.admission.base import Objects
from orchestrator.server.dice import thrown
from orchestrator.server.service_addresses import (
    MANAGED_BY,
    MANAGER,
    NODE_PORTS,
    RANGES,
    AddressView,
    ServiceAddresses,
    ServiceView,
    decode_ports,
    view_of,
)
from orchestrator.server.watch_cache import WatchCache, key_of
from orchestrator.server.watches import name_of, revision_of
from orchestrator.store.base import Delete, Operation, Put, RevisionMismatch, Store, StoreFailed

logger = get_logger(__name__)

# Kubernetes' own.
_EVERY_S = 180.0
# So many share a commit of the store.
_AT_ONCE = 200
_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One write, if the key is as it was seen, and why."""

    operation: Operation
    expect: int
    why: str


@dataclass(slots=True)
class Findings:
    """What there is to do, and what nobody but the owners of the Services can put right."""

    steps: list[Step] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def decide(addresses: ServiceAddresses, objects: Objects, *, now: str, chance: Random) -> Findings:
    """Compare the Services with what is stored of their addresses and ports. Pure."""
    found = Findings()
    services = _readable(found, objects.list(SERVICES))
    # Who came first by name keeps what two have; nothing else is known of which of them that was.
    owners: dict[str, ServiceView] = {}
    ports: dict[int, str] = {}
    for service in sorted(services, key=lambda one: (one.metadata.namespace, one.metadata.name)):
        name = f"{service.metadata.namespace}/{service.metadata.name}"
        address = str(ipaddress.ip_address(service.address)) if service.address else ""
        if address and owners.setdefault(address, service) is not service:
            found.conflicts.append(f"service {name}: its address {service.address} is another service's as well")
        for port in service.node_ports:
            if ports.setdefault(port, name) != name:
                found.conflicts.append(f"service {name}: its node port {port} is {ports[port]}'s as well")
    _addresses(found, addresses, objects, owners, now, chance)
    first, last = addresses.node_ports
    stored = decode_ports(objects.get(RANGES, "", NODE_PORTS))
    wanted = frozenset(port for port in ports if first <= port <= last)
    if stored.taken != wanted:
        put = Put(key_of(RANGES, "", NODE_PORTS), addresses.ports_object(wanted))
        found.steps.append(Step(put, stored.revision, "the range of node ports says other than the services"))
    return found


def _readable(found: Findings, values: Iterable[bytes]) -> list[ServiceView]:
    """The Services that can be compared; one that cannot is told of, and keeps nobody from putting right the others."""
    services: list[ServiceView] = []
    for value in values:
        try:
            service = view_of(value)
            if service.address:
                ipaddress.ip_address(service.address)
        except (Malformed, ValueError):
            found.conflicts.append(f"service {name_of(value)}: what it says of its address cannot be read")
        else:
            services.append(service)
    return services


def _addresses(
    found: Findings,
    addresses: ServiceAddresses,
    objects: Objects,
    owners: dict[str, ServiceView],
    now: str,
    chance: Random,
) -> None:
    missing = dict(owners)
    for value in objects.list(IPADDRESSES):
        obj: Object = codec.decode(value)
        name = obj["metadata"]["name"]
        owner = missing.pop(name, None)
        key = key_of(IPADDRESSES, "", name)
        if owner is None:
            # What somebody else reserved is theirs; what we wrote, for a service that is gone, is nobody's.
            if (obj["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER:
                found.steps.append(Step(Delete(key), revision_of(value), f"address {name} is no service's"))
        elif not codec.decode_into(value, AddressView).belongs_to(owner.metadata.namespace, owner.metadata.name):
            wanted = codec.encode_unstamped(addresses.address_object(owner, thrown(chance).uid(), now))
            found.steps.append(Step(Put(key, wanted), revision_of(value), f"address {name} names another owner"))
    for name, owner in missing.items():
        wanted = codec.encode_unstamped(addresses.address_object(owner, thrown(chance).uid(), now))
        found.steps.append(Step(Put(key_of(IPADDRESSES, "", name), wanted), 0, f"address {name} was not written down"))


async def repair(store: Store, objects: Objects, addresses: ServiceAddresses, clock: Clock, chance: Random) -> None:
    """Put right what `objects` show to be wrong, once. What has changed in the meantime is left for the next time."""
    found = decide(addresses, objects, now=timestamp(clock.now()), chance=chance)
    for conflict in found.conflicts:
        logger.error("addresses.conflict", why=conflict)
    repaired: list[str] = []
    for start in range(0, len(found.steps), _AT_ONCE):
        steps = found.steps[start : start + _AT_ONCE]
        done = await asyncio.gather(*(_carried_out(store, step) for step in steps))
        repaired += [step.why for step, is_done in zip(steps, done, strict=True) if is_done]
    if repaired:
        logger.warning("addresses.repaired", count=len(repaired), why=repaired[:_SHOWN_MAX])


async def _carried_out(store: Store, step: Step) -> bool:
    try:
        await store.commit((step.operation,), {step.operation.key: step.expect})
    except (RevisionMismatch, StoreFailed) as exc:
        logger.info("addresses.not_repaired", why=str(exc)[:256])
        return False
    return True


async def keep_repaired(
    store: Store,
    cache: WatchCache,
    addresses: ServiceAddresses,
    clock: Clock,
    chance: Random,
    *,
    every_s: float = _EVERY_S,
) -> None:
    """Look at it again and again, for ever. A store that does not answer in time is asked again the next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await cache.wait_fresh()
        except TimeoutError:
            logger.warning("addresses.not_looked_at", why="the store does not say in time what is newest")
            continue
        await repair(store, cache, addresses, clock, chance)
