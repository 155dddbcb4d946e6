"""Which back end gets the next connection: round robin, or the client's own; none that just failed, if others exist."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

from netproxy.rules import Backend, Rule

# A back end that refused or did not answer is passed over this long: enough for a dead node to cost a client its
# connect timeout only now and then, and short enough to find a restarted one again.
SUSPECT_S = 5.0

# Clients remembered per frontend; beyond, the longest unseen is forgotten and hashed again.
CLIENTS_MAX = 16_384


class RoundRobin:
    """Each back end in turn."""

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def pick(self, client: str, backends: Sequence[Backend], now: float) -> Backend:
        index = self._next % len(backends)
        self._next = index + 1
        return backends[index]


class ClientAffinity:
    """A client stays where it is, until it has been away for `timeout_s` or its back end has gone.

    A client that is not known goes where rendezvous hashing says, so a restarted proxy sends it to the same place.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._homes: dict[str, tuple[Backend, float]] = {}  # in the order last seen

    def pick(self, client: str, backends: Sequence[Backend], now: float) -> Backend:
        known = self._homes.pop(client, None)
        if known is not None and known[0] in backends and now - known[1] < self._timeout_s:
            home = known[0]
        else:
            home = max(backends, key=lambda backend: _weight(client, backend))
        if len(self._homes) >= CLIENTS_MAX:
            del self._homes[next(iter(self._homes))]
        self._homes[client] = (home, now)
        return home


def _weight(client: str, backend: Backend) -> tuple[int, Backend]:
    """The same in every process: a checksum, stirred (MurmurHash3's last step), since checksums alone are too regular.

    Not a cryptographic hash: those bring 4 MB of OpenSSL into every worker.
    """
    mixed = zlib.crc32(f"{client} {backend.address}:{backend.port}".encode())
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return mixed ^ mixed >> 16, backend


class Balancer:
    """The choice for one frontend; survives changes of its rule with its memory."""

    def __init__(self, rule: Rule, *, start: int = 0) -> None:
        self._start = start
        self._suspects: dict[Backend, float] = {}
        self._rule = rule
        self._policy = self._policy_of(rule)

    @property
    def rule(self) -> Rule:
        return self._rule

    def update(self, rule: Rule) -> None:
        """Use `rule` from the next choice on."""
        if rule.affinity_s != self._rule.affinity_s:
            self._policy = self._policy_of(rule)
        self._rule = rule
        self._suspects = {backend: until for backend, until in self._suspects.items() if backend in rule.backends}

    def pick(self, client: str, now: float, *, tried: Collection[Backend] = ()) -> Backend | None:
        """The back end for a connection of `client`; None if there is none that is not among `tried`."""
        backends: Sequence[Backend] = self._rule.backends
        if tried:
            backends = [backend for backend in backends if backend not in tried]
        if self._suspects:
            backends = self._unsuspected(backends, now)
        if not backends:
            return None
        return self._policy.pick(client, backends, now)

    def failed(self, backend: Backend, now: float) -> None:
        """`backend` refused a connection, or let it time out."""
        if backend in self._rule.backends:
            self._suspects[backend] = now + SUSPECT_S

    def _unsuspected(self, backends: Sequence[Backend], now: float) -> Sequence[Backend]:
        self._suspects = {backend: until for backend, until in self._suspects.items() if until > now}
        trusted = [backend for backend in backends if backend not in self._suspects]
        return trusted or backends

    def _policy_of(self, rule: Rule) -> RoundRobin | ClientAffinity:
        return ClientAffinity(rule.affinity_s) if rule.affinity_s else RoundRobin(self._start)
