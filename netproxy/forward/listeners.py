"""The sockets on service addresses: opened and closed as the rules say, tried again where a port was taken."""

from __future__ import annotations

import _socket
import contextlib
import ipaddress
import os
import select
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from socket import (
    AF_INET,
    IPPROTO_IP,
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_KEEPIDLE,
    TCP_NODELAY,
)

from netproxy.balance import Balancer
from netproxy.forward.tally import Tally
from netproxy.rules import ANY_ADDRESS, Change, Drop, Frontend, Put, Rule

IP_PKTINFO = 8  # missing from the socket module before Python 3.14
BACKLOG = 4096  # the kernel's own limit, net.core.somaxconn, may be lower
# Clients that vanished without a word are noticed after about this and the kernel's probes.
KEEPALIVE_IDLE_S = 600
UDP_QUEUE_BYTES = 1 << 20

Serve = Callable[["Door", int], None]
Accept = Callable[[], tuple[int, tuple[str, int]]]


class Door:
    """One frontend in this worker: its rule, how it balances, what it counts, and its socket while it listens."""

    __slots__ = ("accept", "balancer", "frontend", "networks", "socket", "tally")

    def __init__(self, frontend: Frontend, rule: Rule, tally: Tally, *, start: int) -> None:
        self.frontend = frontend
        self.tally = tally
        self.balancer = Balancer(rule, start=start)
        self.networks = _networks(rule)
        self.socket: _socket.socket | None = None
        self.accept: Accept = _nobody  # the next client's descriptor and address

    def update(self, rule: Rule) -> None:
        """Follow a changed rule."""
        self.balancer.update(rule)
        self.networks = _networks(rule)

    def admits(self, address: str) -> bool:
        """Whether a client from `address` may connect."""
        return not self.networks or any(ipaddress.IPv4Address(address) in network for network in self.networks)


class Listeners:
    """All doors of a worker. `serve_tcp` and `serve_udp` are called when a door's socket is readable.

    Workers share TCP frontends by SO_REUSEPORT. What must remember a client (affinity, UDP sessions) belongs to one
    worker, chosen by the service's name.
    """

    def __init__(
        self,
        epoll: select.epoll,
        handlers: dict[int, Callable[[int], None]],
        *,
        serve_tcp: Serve,
        serve_udp: Serve,
        index: int,
        count: int,
    ) -> None:
        self._epoll = epoll
        self._handlers = handlers
        self._serve = {"TCP": serve_tcp, "UDP": serve_udp}
        self._index = index
        self._count = count
        self._doors: dict[Frontend, Door] = {}
        self._uses: Counter[str] = Counter()  # doors by service
        self._leaving: set[str] = set()  # services that lost a door
        self.tallies: dict[str, Tally] = {}
        self.failures: dict[Frontend, str] = {}

    def door(self, frontend: Frontend) -> Door | None:
        """The door of a frontend, if there is one."""
        return self._doors.get(frontend)

    def apply(self, changes: Iterable[Change]) -> list[Door]:
        """Bring the doors in line; returns those whose back ends changed, or that exist no longer."""
        touched: list[Door] = []
        for change in changes:
            match change:
                case Drop(frontend):
                    touched += self._drop(frontend)
                case Put(frontend, rule):
                    known = self._doors.get(frontend)
                    if known is not None and known.balancer.rule.service != rule.service:
                        touched += self._drop(frontend)  # the address changes hands, and so do its counts
                    touched.append(self._put(frontend, rule))
        return touched

    def prune(self) -> None:
        """Forget the counts of services that have no door and no connection any more."""
        for service in [name for name in self._leaving if not self._uses[name]]:
            if not self.tallies[service].open:
                del self.tallies[service], self._uses[service]
                self._leaving.discard(service)
        self._leaving = {name for name in self._leaving if not self._uses[name]}

    def retry(self) -> None:
        """Try again to listen where a port was taken."""
        for frontend in list(self.failures):
            self._settle(self._doors[frontend])

    def close(self) -> None:
        """Stop listening everywhere; open connections are not touched."""
        for door in self._doors.values():
            self._close(door)
        self._doors.clear()
        self.failures.clear()

    def _drop(self, frontend: Frontend) -> list[Door]:
        door = self._doors.pop(frontend, None)
        self.failures.pop(frontend, None)
        if door is None:
            return []
        self._close(door)
        service = door.balancer.rule.service
        door.update(Rule(service))
        self._uses[service] -= 1
        self._leaving.add(service)
        return [door]

    def _put(self, frontend: Frontend, rule: Rule) -> Door:
        door = self._doors.get(frontend)
        if door is None:
            self._uses[rule.service] += 1
            tally = self.tallies.setdefault(rule.service, Tally())
            door = self._doors[frontend] = Door(frontend, rule, tally, start=self._index)
        else:
            door.update(rule)
        self._settle(door)
        return door

    def _settle(self, door: Door) -> None:
        wanted = bool(door.balancer.rule.backends) and self._is_ours(door)
        if not wanted:
            self.failures.pop(door.frontend, None)
            self._close(door)  # nobody listens: the kernel itself refuses the connection
        elif door.socket is None:
            try:
                door.socket = _listen(door.frontend)
            except OSError as refused:
                self.failures[door.frontend] = os.strerror(refused.errno or 0)
                return
            self.failures.pop(door.frontend, None)
            door.accept = door.socket._accept  # type: ignore[attr-defined]  # accept() would wrap what we only borrow
            fd = door.socket.fileno()
            self._handlers[fd] = partial(self._serve[door.frontend.protocol], door)
            self._epoll.register(fd, select.EPOLLIN)

    def _is_ours(self, door: Door) -> bool:
        rule = door.balancer.rule
        if door.frontend.protocol == "TCP" and not rule.affinity_s:
            return True
        return zlib.crc32(rule.service.encode()) % self._count == self._index

    def _close(self, door: Door) -> None:
        if door.socket is None:
            return
        fd = door.socket.fileno()
        serve = self._handlers.pop(fd)
        if door.frontend.protocol == "TCP":
            serve(select.EPOLLIN)  # whoever the kernel has let in already is not turned away
        self._epoll.unregister(fd)
        door.socket.close()
        door.socket = None
        door.accept = _nobody


def _nobody() -> tuple[int, tuple[str, int]]:
    raise BlockingIOError


def _listen(frontend: Frontend) -> _socket.socket:
    stream = frontend.protocol == "TCP"
    kind = SOCK_STREAM if stream else SOCK_DGRAM
    listener = _socket.socket(AF_INET, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        if stream:
            # Accepted sockets inherit these.
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            listener.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
            listener.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        else:
            listener.setsockopt(SOL_SOCKET, SO_RCVBUF, UDP_QUEUE_BYTES)
            if frontend.address == ANY_ADDRESS:
                listener.setsockopt(IPPROTO_IP, IP_PKTINFO, 1)  # answers must come from the address that was asked
        listener.bind((frontend.address, frontend.port))
        if stream:
            listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _networks(rule: Rule) -> tuple[ipaddress.IPv4Network, ...]:
    networks: list[ipaddress.IPv4Network] = []
    for text in rule.sources:
        with contextlib.suppress(ValueError):  # IPv6 ranges: nothing of ours has such a source
            networks.append(ipaddress.IPv4Network(text.strip(), strict=False))
    return tuple(networks) or ((ipaddress.IPv4Network("255.255.255.255/32"),) if rule.sources else ())
