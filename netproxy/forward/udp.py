"""UDP through the proxy: a session per client, with a connected socket to its back end, until it falls silent."""

from __future__ import annotations

import _socket
import select
import struct
from collections.abc import Callable, Iterable
from socket import AF_INET, CMSG_SPACE, IPPROTO_IP, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK

from netproxy.forward.listeners import IP_PKTINFO, Door
from netproxy.rules import ANY_ADDRESS, Backend

# A session without a datagram either way is closed after this; the kernel's own tracking takes 30 to 120 s.
IDLE_S = 60.0
SESSIONS_MAX = 8_192
# Datagrams taken from one socket before the others get their turn.
BATCH = 64
DATAGRAM_BYTES = 65_535

_PKTINFO = struct.Struct("I4s4s")  # interface, the local address, the address in the header
_NONBLOCKING_DATAGRAM = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC

Peer = tuple[str, int]


class Session:
    """One client of one door. `local` is the address it dialled, where the door has many."""

    __slots__ = ("backend", "client", "door", "key", "local", "seen", "socket")

    def __init__(self, door: Door, client: Peer, local: bytes, backend: Backend, socket: _socket.socket) -> None:
        self.door = door
        self.client = client
        self.local = local
        self.key = (door.frontend, client, local)
        self.backend = backend
        self.socket = socket
        self.seen = 0.0


class Forwarder:
    """All UDP sessions of a worker, oldest first; past the limit the one longest silent is closed."""

    def __init__(
        self, epoll: select.epoll, handlers: dict[int, Callable[[int], None]], *, now: Callable[[], float]
    ) -> None:
        self._epoll = epoll
        self._handlers = handlers
        self._now = now
        self._buffer = memoryview(bytearray(DATAGRAM_BYTES))
        self._sessions: dict[object, Session] = {}  # in the order last heard of

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def receive(self, door: Door, event: int) -> None:
        """Take what clients have sent to a door."""
        assert door.socket is not None
        many = door.frontend.address == ANY_ADDRESS
        now = self._now()
        for _ in range(BATCH):
            local = b""
            try:
                if many:
                    count, ancillary, _, client = door.socket.recvmsg_into([self._buffer], CMSG_SPACE(_PKTINFO.size))
                    local = _local_address(ancillary)
                else:
                    count, client = door.socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier answer
            session = self._sessions.pop((door.frontend, client, local), None) or self._begin(door, client, local, now)
            if session is None:
                continue
            session.seen = now
            self._sessions[session.key] = session
            door.tally.received.count += count
            self._pass_on(session, count)

    def forget(self, door: Door) -> None:
        """Close a door's sessions with back ends that it has no longer: their next datagram goes elsewhere."""
        backends = door.balancer.rule.backends
        for session in list(self._sessions.values()):
            if session.door is door and session.backend not in backends:
                self._close(session)

    def expire(self) -> None:
        """Close what has been silent for too long."""
        silent_since = self._now() - IDLE_S
        while self._sessions:
            session = next(iter(self._sessions.values()))
            if session.seen > silent_since:
                return
            self._close(session)

    def close(self) -> None:
        """Close every session."""
        for session in list(self._sessions.values()):
            self._close(session)

    def _begin(self, door: Door, client: Peer, local: bytes, now: float) -> Session | None:
        if door.networks and not door.admits(client[0]):
            door.tally.refused += 1
            return None
        backend = door.balancer.pick(client[0], now)
        if backend is None:
            door.tally.refused += 1
            return None
        if len(self._sessions) >= SESSIONS_MAX:
            self._close(next(iter(self._sessions.values())))
        try:
            connected = _socket.socket(AF_INET, _NONBLOCKING_DATAGRAM, 0)
            connected.connect((backend.address, backend.port))
        except OSError:
            door.tally.failures += 1
            door.balancer.failed(backend, now)
            return None
        session = Session(door, client, local, backend, connected)
        fd = connected.fileno()

        def answer(event: int) -> None:
            self._answer(session)

        self._handlers[fd] = answer
        self._epoll.register(fd, select.EPOLLIN)
        door.tally.connections += 1
        door.tally.open += 1
        return session

    def _pass_on(self, session: Session, count: int) -> None:
        try:
            session.socket.send(self._buffer[:count])
        except BlockingIOError:
            pass  # UDP may lose datagrams
        except OSError:
            self._lost(session)

    def _answer(self, session: Session) -> None:
        door = session.door
        for _ in range(BATCH):
            try:
                count = session.socket.recv_into(self._buffer)
            except BlockingIOError:
                break
            except OSError:
                self._lost(session)
                return
            if door.socket is None:
                return
            door.tally.sent.count += count
            try:
                if session.local:
                    source = (IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(0, session.local, session.local))
                    door.socket.sendmsg([self._buffer[:count]], [source], 0, session.client)
                else:
                    door.socket.sendto(self._buffer[:count], session.client)
            except OSError:
                pass  # no room, or the client has gone: lost like any datagram
        session.seen = self._now()
        if self._sessions.pop(session.key, None) is not None:
            self._sessions[session.key] = session

    def _lost(self, session: Session) -> None:
        """The back end's node says that nobody listens there."""
        session.door.tally.failures += 1
        session.door.balancer.failed(session.backend, self._now())
        self._close(session)

    def _close(self, session: Session) -> None:
        if self._sessions.pop(session.key, None) is None:
            return
        fd = session.socket.fileno()
        self._epoll.unregister(fd)
        del self._handlers[fd]
        session.socket.close()
        session.door.tally.open -= 1


def _local_address(ancillary: Iterable[tuple[int, int, bytes]]) -> bytes:
    for level, kind, data in ancillary:
        if level == IPPROTO_IP and kind == IP_PKTINFO:
            return bytes(_PKTINFO.unpack(data[: _PKTINFO.size])[1])
    return b""
