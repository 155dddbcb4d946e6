"""Which names exist in the cluster, and what they say: services and endpoint slices in, answers out."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netproxy.dns import wire
from netproxy.dns.wire import Record
from orchestrator.api.views.network import Endpoint, EndpointSlice, Service

# As the field's cluster DNS has it: short, because endpoints come and go.
TTL_S = 5
SCHEMA_VERSION = b"1.1.0"  # of the Kubernetes DNS specification, told at dns-version.DOMAIN
_SOA_TIMES = (7200, 1800, 86_400, TTL_S)


@dataclass(frozen=True, slots=True)
class Srv:
    """Where a named port is served."""

    port: int
    target: str


Data = bytes | str | Srv
# What one name says, by record type: addresses and texts as bytes, other names as text.
Says = dict[int, tuple[Data, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is wire. `chase` is a name outside the cluster that the last alias leads to."""

    rcode: int = wire.NOERROR
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    chase: str = ""


def names_of(service: Service, slices: Iterable[EndpointSlice], domain: str) -> dict[str, Says]:
    """Every name that a service brings into being, reverse names included."""
    base = f"{service.metadata.name}.{service.metadata.namespace}.svc.{domain}".lower()
    if service.spec.type == "ExternalName":
        return {base: {wire.CNAME: (service.spec.external_name.rstrip(".").lower(),)}}
    if not service.spec.cluster_ip:
        return {}
    slices = [piece for piece in slices if piece.address_type == "IPv4"]
    if service.headless:
        return _headless_names(base, slices)
    return _cluster_ip_names(service, base) | _hostname_names(base, slices)


class Zone:
    """All names of the cluster. `replace` what a service says when it changes; `lookup` answers at any time."""

    def __init__(self, domain: str, dns_address: str) -> None:
        self.domain = domain.rstrip(".").lower()
        self._names: dict[str, dict[str, Says]] = {}  # name -> who says it -> what
        self._said: dict[str, tuple[str, ...]] = {}
        self._inner: Counter[str] = Counter()  # names that exist because others lie below them
        self._serial = 1
        server = f"ns.dns.{self.domain}"
        self._server = server
        self.replace(
            "",
            {
                self.domain: {wire.NS: (server,)},
                server: {wire.A: (socket.inet_aton(dns_address),)},
                f"dns-version.{self.domain}": {wire.TXT: (bytes([len(SCHEMA_VERSION)]) + SCHEMA_VERSION,)},
            },
        )

    def replace(self, who: str, names: Mapping[str, Says]) -> None:
        """Make `names` all that `who` says; nothing, to forget it."""
        for name in self._said.pop(who, ()):
            del self._names[name][who]
            if not self._names[name]:
                del self._names[name]
            for parent in self._parents(name):
                self._inner[parent] -= 1
                if not self._inner[parent]:
                    del self._inner[parent]
        if names:
            self._said[who] = tuple(names)
            for name, says in names.items():
                self._names.setdefault(name, {})[who] = says
                self._inner.update(self._parents(name))
        self._serial += 1

    def names(self) -> tuple[str, ...]:
        """Every name that says something."""
        return tuple(self._names)

    def owns(self, name: str) -> bool:
        """Whether `name` is the cluster's, existing or not."""
        return name == self.domain or name.endswith("." + self.domain)

    def lookup(self, name: str, kind: int) -> Answer | None:
        """The answer to a question; None if it is not ours to answer."""
        says = self._says(name)
        if says is None and not self.owns(name):
            return None
        if says is None:
            says = self._pod_says(name)
        if says is None:
            rcode = wire.NOERROR if name in self._inner else wire.NXDOMAIN
            return Answer(rcode, authority=(self._soa(),))
        if wire.CNAME in says and kind != wire.CNAME:
            return self._follow(name, str(says[wire.CNAME][0]), kind)
        if kind == wire.SOA and name == self.domain:
            return Answer(answers=(self._soa(),))
        found = says.get(kind, ())
        if not found:
            return Answer(authority=(self._soa(),))
        answers = tuple(Record(name, kind, TTL_S, _encode(data, len(found))) for data in found)
        return Answer(answers=answers, additional=self._glue(found, kind))

    def _says(self, name: str) -> Says | None:
        voices = self._names.get(name)
        if voices is None:
            return None
        if len(voices) == 1:
            return next(iter(voices.values()))
        merged: Says = {}
        for who in sorted(voices):
            for kind, found in voices[who].items():
                merged[kind] = tuple(dict.fromkeys((*merged.get(kind, ()), *found)))
        return merged

    def _pod_says(self, name: str) -> Says | None:
        """`10-244-1-5.NAMESPACE.pod.DOMAIN` says 10.244.1.5, without asking whether there is such a pod."""
        labels = name.removesuffix(self.domain).rstrip(".").split(".")
        if len(labels) != 3 or labels[2] != "pod" or labels[0].count("-") != 3:
            return None
        try:
            return {wire.A: (socket.inet_pton(socket.AF_INET, labels[0].replace("-", ".")),)}
        except (OSError, ValueError):
            return None

    def _follow(self, name: str, target: str, kind: int) -> Answer:
        try:
            alias = Record(name, wire.CNAME, TTL_S, wire.encode_name(target))
        except wire.BadMessage:
            return Answer(wire.SERVFAIL)  # an externalName that no message can carry
        if not self.owns(target):
            return Answer(answers=(alias,), chase=target)
        # One step only: an alias of an alias within the cluster is a mistake, and may be a circle.
        says = self._says(target) or {}
        found = tuple(Record(target, kind, TTL_S, _encode(data, 1)) for data in says.get(kind, ()))
        return Answer(answers=(alias, *found), authority=() if found else (self._soa(),))

    def _glue(self, found: tuple[Data, ...], kind: int) -> tuple[Record, ...]:
        targets = [data.target if isinstance(data, Srv) else str(data) for data in found if kind in (wire.SRV, wire.NS)]
        glue: list[Record] = []
        for target in dict.fromkeys(targets):
            for address in (self._says(target) or {}).get(wire.A, ()):
                assert isinstance(address, bytes)
                glue.append(Record(target, wire.A, TTL_S, address))
        return tuple(glue)

    def _soa(self) -> Record:
        data = wire.encode_name(self._server) + wire.encode_name(f"hostmaster.{self.domain}")
        for number in (self._serial, *_SOA_TIMES):
            data += number.to_bytes(4, "big")
        return Record(self.domain, wire.SOA, TTL_S, data)

    def _parents(self, name: str) -> list[str]:
        """The names between `name` and the domain, which exist without saying anything."""
        if not self.owns(name):
            return []
        parents: list[str] = []
        while name != self.domain:
            name = name.partition(".")[2]
            parents.append(name)
        return parents


def reverse_name(address: str) -> str:
    """The name under which an address is looked up: `50.0.96.10.in-addr.arpa`."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _encode(data: Data, count: int) -> bytes:
    match data:
        case bytes():
            return data
        case Srv(port, target):
            weight = max(1, 100 // count)
            return b"\0\0" + weight.to_bytes(2, "big") + port.to_bytes(2, "big") + wire.encode_name(target)
        case _:
            return wire.encode_name(data)


def _cluster_ip_names(service: Service, base: str) -> dict[str, Says]:
    address = _address(service.spec.cluster_ip)
    if address is None:
        return {}
    ports = [port for port in service.spec.ports if 0 < port.port < 65_536]
    every = tuple(Srv(port.port, base) for port in ports)
    names: dict[str, Says] = {base: {wire.A: (address,), wire.SRV: every}}
    for port in ports:
        if port.name:
            names[f"_{port.name}._{port.protocol.lower()}.{base}".lower()] = {wire.SRV: (Srv(port.port, base),)}
    names[reverse_name(service.spec.cluster_ip)] = {wire.PTR: (base,)}
    return names


def _headless_names(base: str, slices: Iterable[EndpointSlice]) -> dict[str, Says]:
    addresses: dict[bytes, None] = {}
    by_name: dict[str, dict[bytes, None]] = {}
    ports: dict[str, dict[Srv, None]] = {}
    for piece in slices:
        for endpoint, address in _ready(piece):
            own = f"{_label_of(endpoint)}.{base}"
            addresses[address] = None
            by_name.setdefault(own, {})[address] = None
            for port in piece.ports or ():
                if port.port and 0 < port.port < 65_536:
                    srv = Srv(port.port, own)
                    ports.setdefault(base, {})[srv] = None
                    if port.name:
                        ports.setdefault(f"_{port.name}._{(port.protocol or 'TCP')}.{base}".lower(), {})[srv] = None
    names: dict[str, Says] = {own: {wire.A: tuple(found)} for own, found in by_name.items()}
    if addresses:
        names[base] = {wire.A: tuple(addresses)}
    for name, found in ports.items():
        names.setdefault(name, {})[wire.SRV] = tuple(found)
    return names | _pointers(base, slices)


def _hostname_names(base: str, slices: Iterable[EndpointSlice]) -> dict[str, Says]:
    """A service with an address of its own still names the endpoints, for whoever asks."""
    by_name: dict[str, dict[bytes, None]] = {}
    for piece in slices:
        for endpoint, address in _ready(piece):
            by_name.setdefault(f"{_label_of(endpoint)}.{base}", {})[address] = None
    names: dict[str, Says] = {own: {wire.A: tuple(found)} for own, found in by_name.items()}
    return names | _pointers(base, slices)


def _pointers(base: str, slices: Iterable[EndpointSlice]) -> dict[str, Says]:
    """Reverse names exist for endpoints that have a hostname: one pod, one canonical name."""
    pointers: dict[str, Says] = {}
    for piece in slices:
        for endpoint, _ in _ready(piece):
            if endpoint.hostname:
                pointers[reverse_name(endpoint.addresses[0])] = {wire.PTR: (f"{_label_of(endpoint)}.{base}",)}
    return pointers


def _ready(piece: EndpointSlice) -> Iterable[tuple[Endpoint, bytes]]:
    for endpoint in piece.endpoints or ():
        if endpoint.ready and endpoint.addresses:
            address = _address(endpoint.addresses[0])
            if address is not None:
                yield endpoint, address


def _label_of(endpoint: Endpoint) -> str:
    return (endpoint.hostname or endpoint.addresses[0].replace(".", "-")).lower()


def _address(text: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return None
