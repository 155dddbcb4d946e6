"""ClusterIPs and node ports: which are taken, read off the services at start and kept current by the feed."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from random import Random
from typing import Any

import msgspec

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid

_ATTEMPTS_RANDOM = 64


class _Port(msgspec.Struct, rename="camel", gc=False):
    node_port: int = 0
    protocol: str = "TCP"


class _Spec(msgspec.Struct, rename="camel", gc=False):
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: tuple[_Port, ...] = ()
    health_check_node_port: int = 0


class _Service(msgspec.Struct, gc=False):
    spec: _Spec = msgspec.field(default_factory=_Spec)


Taken = tuple[str, str | int]


class ServiceAddresses:
    """Which addresses and node ports are free. What is taken counts until `release`, or the service's end."""

    def __init__(self, *, service_cidr: str, node_ports: tuple[int, int]) -> None:
        self._network = ipaddress.ip_network(service_cidr)
        self._ports = node_ports
        # Counted: an update may hold what the stored service holds as well.
        self._taken: dict[Taken, int] = {}

    def observe(self, old: bytes | None, new: bytes | None) -> None:
        """Follow one service's change in the store."""
        for taken in _held(new):
            self._take(taken)
        for taken in _held(old):
            self._give_back(taken)

    def plan(self, service: Object, old: Object | None, chance: Random) -> tuple[list[Taken], list[Problem]]:
        """Fill in what the service needs and check what it asks for. Takes nothing; says what is to be taken."""
        held = _held(codec.encode(old)) if old is not None else []
        planned: list[Taken] = []
        spec = service["spec"]
        if spec.get("type", "ClusterIP") == "ExternalName":
            return planned, []
        found = self._plan_address(spec, held, planned, chance)
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            found += self._plan_ports(spec, held, planned, chance)
        return ([], found) if found else (planned, found)

    def take(self, planned: Iterable[Taken]) -> None:
        """Take what was planned, at once: whoever plans after this finds it taken."""
        for one in planned:
            self._take(one)

    def release(self, taken: Iterable[Taken]) -> None:
        """Give back what was taken, once the write is in the store, whose own count then holds it, or has failed."""
        for one in taken:
            self._give_back(one)

    def _plan_address(
        self, spec: dict[str, Any], held: list[Taken], planned: list[Taken], chance: Random
    ) -> list[Problem]:
        asked = (spec.get("clusterIPs") or [spec.get("clusterIP") or ""])[0] or spec.get("clusterIP") or ""
        if asked == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
            return []
        if not asked and held and (kept := next((str(value) for what, value in held if what == "ip"), "")):
            asked = kept
        if not asked:
            asked = self._free_address(chance)
            if not asked:
                return [invalid("spec.clusterIPs", [], "failed to allocate IP: range is full")]
        elif ("ip", asked) not in held:
            why = self._why_not(asked)
            if why:
                words = f"failed to allocate IP {asked}: {why}"
                return [invalid("spec.clusterIPs", [asked], words)]
        spec["clusterIP"], spec["clusterIPs"] = asked, [asked]
        planned.append(("ip", asked))
        return []

    def _plan_ports(
        self, spec: dict[str, Any], held: list[Taken], planned: list[Taken], chance: Random
    ) -> list[Problem]:
        found: list[Problem] = []
        before = {one for one in held if one[0] != "ip"}
        own: set[Taken] = set()
        # One number for the same port over TCP and UDP, as long as nobody else has it.
        numbers: dict[int, int] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            protocol = port.get("protocol", "TCP")
            asked = port.get("nodePort") or 0
            path = f"spec.ports[{index}].nodePort"
            if asked:
                one = (protocol, asked)
                if one not in before and one in self._taken and one not in own:
                    found.append(invalid(path, asked, "provided port is already allocated"))
                    continue
                if not self._ports[0] <= asked <= self._ports[1]:
                    words = "provided port is not in the valid range. The range of valid ports is "
                    found.append(invalid(path, asked, f"{words}{self._ports[0]}-{self._ports[1]}"))
                    continue
            else:
                same = numbers.get(port.get("port"), 0)
                free = same and (protocol, same) not in self._taken and (protocol, same) not in own
                port["nodePort"] = asked = same if free else self._free_port(protocol, own, chance)
                if not asked:
                    found.append(invalid(path, 0, "failed to allocate a nodePort: range is full"))
                    continue
            numbers.setdefault(port.get("port"), asked)
            own.add((protocol, asked))
            planned.append((protocol, asked))
        return found

    def _why_not(self, asked: str) -> str:
        try:
            address = ipaddress.ip_address(asked)
        except ValueError:
            return "must be a valid IP address"
        if address not in self._network:
            return f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {self._network}"
        return "provided IP is already allocated" if ("ip", asked) in self._taken else ""

    def _free_address(self, chance: Random) -> str:
        first, last = int(self._network.network_address) + 1, int(self._network.broadcast_address) - 1
        # Below this are the addresses that people ask for by number, as Kubernetes leaves them.
        low = min(first + min(max(16, self._network.num_addresses // 16), 256), last)
        found = self._pick("ip", low, last, (), chance) or self._pick("ip", first, last - 1, (), chance)
        return str(found or "")

    def _free_port(self, protocol: str, own: Collection[Taken], chance: Random) -> int:
        return int(self._pick(protocol, *self._ports, own, chance) or 0)

    def _pick(self, what: str, first: int, last: int, own: Collection[Taken], chance: Random) -> str | int | None:
        def is_free(value: str | int) -> bool:
            return (what, value) not in self._taken and (what, value) not in own

        for _ in range(_ATTEMPTS_RANDOM):
            value = self._named(what, chance.randint(first, last))
            if is_free(value):
                return value
        return next((value for n in range(first, last + 1) if is_free(value := self._named(what, n))), None)

    def _named(self, what: str, number: int) -> str | int:
        return str(ipaddress.ip_address(number)) if what == "ip" else number

    def _take(self, one: Taken) -> None:
        self._taken[one] = self._taken.get(one, 0) + 1

    def _give_back(self, one: Taken) -> None:
        count = self._taken.get(one, 0) - 1
        if count > 0:
            self._taken[one] = count
        else:
            self._taken.pop(one, None)


def _held(value: bytes | None) -> list[Taken]:
    if value is None:
        return []
    spec = codec.decode_into(value, _Service).spec
    addresses = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    held: list[Taken] = [("ip", address) for address in addresses if address and address != "None"]
    held += [(port.protocol, port.node_port) for port in spec.ports if port.node_port]
    if spec.health_check_node_port:
        held.append(("TCP", spec.health_check_node_port))
    return held
