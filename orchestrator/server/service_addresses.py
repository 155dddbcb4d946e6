"""ClusterIPs and node ports: what of them is taken is stored beside the Services that have them, in the same commit.

An address is an IPAddress object, whose name is the address; all node ports are bits of one range object, as in
Kubernetes' RangeAllocation. So no server remembers who has what, and two that give away the same thing at once meet in
the store, where one of them starts over. Pure.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid
from orchestrator.api.resources import IPADDRESSES, Resource
from orchestrator.server.watch_cache import key_of
from orchestrator.server.watches import revision_of
from orchestrator.server.writing.claims import Claim, World

#: Not served: clients see node ports in the Services that have them.
RANGES = Resource("", "v1", "rangeallocations", "RangeAllocation", namespaced=False)
NODE_PORTS = "servicenodeports"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
_FAMILY = "ipaddress.kubernetes.io/ip-family"
_ATTEMPTS_RANDOM = 64
_BALANCED = ("NodePort", "LoadBalancer")


class _Port(msgspec.Struct, rename="camel", gc=False):
    node_port: int = 0


class _Spec(msgspec.Struct, rename="camel", gc=False):
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: tuple[_Port, ...] = ()
    health_check_node_port: int = 0


class _Metadata(msgspec.Struct, gc=False):
    name: str
    namespace: str = ""


class ServiceView(msgspec.Struct, gc=False):
    """What of a Service is shared with others."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)

    @property
    def address(self) -> str:
        """Its ClusterIP; empty if it has none of its own."""
        spec = self.spec
        address = spec.cluster_ips[0] if spec.cluster_ips else spec.cluster_ip
        return "" if address == "None" or spec.type == "ExternalName" else address

    @property
    def node_ports(self) -> frozenset[int]:
        """All ports that it has on every node."""
        ports = {port.node_port for port in self.spec.ports} | {self.spec.health_check_node_port}
        return frozenset(ports - {0})


class _Parent(msgspec.Struct, gc=False):
    resource: str = ""
    group: str = ""
    namespace: str = ""
    name: str = ""


class _AddressSpec(msgspec.Struct, rename="camel", gc=False):
    parent_ref: _Parent = msgspec.field(default_factory=_Parent)


class AddressView(msgspec.Struct, gc=False):
    """Whose an address is."""

    spec: _AddressSpec = msgspec.field(default_factory=_AddressSpec)

    def belongs_to(self, namespace: str, name: str) -> bool:
        """Whether it is that Service's."""
        return self.spec.parent_ref == _Parent("services", "", namespace, name)


class Ports(msgspec.Struct, frozen=True, gc=False):
    """The range of node ports as it is stored: which are taken, and at which revision that was so (0: never)."""

    taken: frozenset[int] = frozenset()
    revision: int = 0


class _Range(msgspec.Struct, gc=False):
    range: str = "0-0"
    data: str = ""


def decode_ports(value: bytes | None) -> Ports:
    """Read the stored range."""
    if value is None:
        return Ports()
    stored = codec.decode_into(value, _Range)
    first = int(stored.range.partition("-")[0])
    bits = int.from_bytes(base64.b64decode(stored.data), "big")
    # Go's `big.Int`, which Kubernetes keeps its bitmaps in: bit 0 is the last one of the last byte.
    taken = frozenset(first + index for index in range(bits.bit_length()) if bits >> index & 1)
    return Ports(taken, revision_of(value))


class ServiceAddresses:
    """Plans what the writing of a Service claims; a ledger of the write path. Holds settings only."""

    def __init__(self, *, service_cidr: str, node_ports: tuple[int, int]) -> None:
        self.network = ipaddress.ip_network(service_cidr)
        # Neither the network's own address nor, with IPv4, the one that means everybody.
        self._first = int(self.network.network_address) + 1
        self._last = int(self.network.broadcast_address) - (1 if self.network.version == 4 else 0)
        self.node_ports = node_ports

    def plan(self, new: Object | None, old: Object | None, world: World) -> tuple[Claim, list[Problem]]:
        """Fill in what the service needs, check what it asks for, and say what is to be written beside it.

        `new` is None for a service that goes.
        """
        before = view_of(old) if old is not None else None
        claim, problems = Claim(), list[Problem]()
        if new is not None and new["spec"].get("type", "ClusterIP") != "ExternalName":
            problems += self._choose_address(new, before, world)
            if not problems and new["spec"].get("type") in _BALANCED:
                problems += self._choose_ports(new["spec"], before, world)
        if problems:
            return claim, problems
        after = view_of(new) if new is not None else None
        self._claim_address(claim, before, after, world)
        self._claim_ports(claim, before, after, world)
        return claim, []

    def _choose_address(self, service: Object, before: ServiceView | None, world: World) -> list[Problem]:
        spec, had = service["spec"], before.address if before is not None else ""
        asked = (spec.get("clusterIPs") or [spec.get("clusterIP") or ""])[0] or spec.get("clusterIP") or ""
        if asked == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
            return []
        asked = asked or had
        if not asked:
            asked = self._free_address(world)
            if not asked:
                return [invalid("spec.clusterIPs", [], "failed to allocate IP: range is full")]
        elif asked != had and (why := self._why_not(asked, service["metadata"], world)):
            return [invalid("spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {why}")]
        spec["clusterIP"], spec["clusterIPs"] = asked, [asked]
        return []

    def _why_not(self, asked: str, meta: Object, world: World) -> str:
        try:
            address = ipaddress.ip_address(asked)
        except ValueError:
            return "must be a valid IP address"
        if not self._first <= int(address) <= self._last or address.version != self.network.version:
            return f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {self.network}"
        taken = _written(world, str(address))
        # One that was written for this very name by hand, or is left from before a repair, is its own.
        if taken is None or codec.decode_into(taken, AddressView).belongs_to(meta.get("namespace", ""), meta["name"]):
            return ""
        return "provided IP is already allocated"

    def _free_address(self, world: World) -> str:
        first, last = self._first, self._last
        # Below this are the addresses that people ask for by number, as Kubernetes leaves them.
        low = min(first + min(max(16, self.network.num_addresses // 16), 256), last)

        def is_free(number: int) -> bool:
            return _written(world, str(ipaddress.ip_address(number))) is None

        chance = world.dice.choices()
        for _ in range(_ATTEMPTS_RANDOM):
            if is_free(number := chance.randint(low, last)):
                return str(ipaddress.ip_address(number))
        found = next((number for start in (low, first) for number in range(start, last + 1) if is_free(number)), None)
        return "" if found is None else str(ipaddress.ip_address(found))

    def _choose_ports(self, spec: dict[str, Any], before: ServiceView | None, world: World) -> list[Problem]:
        had = before.node_ports if before is not None else frozenset()
        others = decode_ports(world.objects.get(RANGES, "", NODE_PORTS)).taken - had
        problems: list[Problem] = []
        own: set[int] = set()
        chance = world.dice.choices()
        first, last = self.node_ports
        for index, port in enumerate(spec.get("ports") or ()):
            asked = port.get("nodePort") or 0
            field = f"spec.ports[{index}].nodePort"
            if asked in others:
                problems.append(invalid(field, asked, "provided port is already allocated"))
            elif asked and asked not in had and not first <= asked <= last:
                words = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
                problems.append(invalid(field, asked, words))
            own.add(asked)
        if spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
            return problems
        for index, port in enumerate(spec.get("ports") or ()):
            if port.get("nodePort"):
                continue
            port["nodePort"] = _shared(spec["ports"], index) or self._free_port(others | own, chance)
            own.add(port["nodePort"])
            if not port["nodePort"]:
                words = "failed to allocate a nodePort: range is full"
                problems.append(invalid(f"spec.ports[{index}].nodePort", 0, words))
        return problems

    def _free_port(self, taken: Iterable[int], chance: Random) -> int:
        taken = frozenset(taken)
        first, last = self.node_ports
        for _ in range(_ATTEMPTS_RANDOM):
            if (port := chance.randint(first, last)) not in taken:
                return port
        return next((port for port in range(first, last + 1) if port not in taken), 0)

    def _claim_address(self, claim: Claim, before: ServiceView | None, after: ServiceView | None, world: World) -> None:
        had, has = (one.address if one is not None else "" for one in (before, after))
        # At most one change of a collection fits into a commit: a service whose address changes gives the old one
        # back by the repair. Kubernetes lets nobody change it.
        if has and after is not None:
            key = key_of(IPADDRESSES, "", str(ipaddress.ip_address(has)))
            stored = _written(world, has)
            if stored is None:
                claim.put(key, codec.encode_unstamped(self.address_object(after, world.dice.uid(), world.timestamp)), 0)
        elif had and before is not None:
            stored = _written(world, had)
            meta = before.metadata
            if stored is not None and codec.decode_into(stored, AddressView).belongs_to(meta.namespace, meta.name):
                claim.delete(key_of(IPADDRESSES, "", str(ipaddress.ip_address(had))), revision_of(stored))

    def _claim_ports(self, claim: Claim, before: ServiceView | None, after: ServiceView | None, world: World) -> None:
        had, has = (one.node_ports if one is not None else frozenset[int]() for one in (before, after))
        if had == has:
            return
        stored = decode_ports(world.objects.get(RANGES, "", NODE_PORTS))
        taken = stored.taken - had | has
        if taken != stored.taken:
            claim.put(key_of(RANGES, "", NODE_PORTS), self.ports_object(taken), stored.revision)

    def address_object(self, service: ServiceView, uid: str, now: str) -> Object:
        """The IPAddress of a service that has one."""
        address = ipaddress.ip_address(service.address)
        parent = {"group": "", "resource": "services"}
        return {
            "kind": IPADDRESSES.kind,
            "apiVersion": IPADDRESSES.api_version,
            "metadata": {
                "name": str(address),
                "uid": uid,
                "generation": 1,
                "creationTimestamp": now,
                "labels": {_FAMILY: f"IPv{address.version}", MANAGED_BY: MANAGER},
            },
            "spec": {"parentRef": {**parent, "namespace": service.metadata.namespace, "name": service.metadata.name}},
        }

    def ports_object(self, taken: Iterable[int]) -> bytes:
        """The range object that says that these are taken. What is outside the range needs no entry."""
        first, last = self.node_ports
        bits = sum(1 << port - first for port in set(taken) if first <= port <= last)
        data = base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "big")).decode()
        return codec.encode_unstamped(
            {
                "kind": RANGES.kind,
                "apiVersion": RANGES.api_version,
                "metadata": {"name": NODE_PORTS},
                "range": f"{first}-{last}",
                "data": data,
            }
        )


def _written(world: World, address: str) -> bytes | None:
    """The IPAddress that says whose this address is."""
    return world.objects.get(IPADDRESSES, "", str(ipaddress.ip_address(address)))


def view_of(service: Object | bytes) -> ServiceView:
    """What of it is shared with others."""
    return codec.decode_into(service if isinstance(service, bytes) else codec.encode(service), ServiceView)


def _shared(ports: list[dict[str, Any]], index: int) -> int:
    """The node port that the same port has over another protocol: one number serves both."""
    this = ports[index]
    for other in ports:
        if (
            other is not this
            and other.get("port") == this.get("port")
            and other.get("protocol", "TCP") != this.get("protocol", "TCP")
            and other.get("nodePort")
        ):
            return int(other["nodePort"])
    return 0
