"""From an accepted client to an established connection: choosing a back end, and another one if that fails."""

from __future__ import annotations

import _socket
import errno
import os
import select
from collections import deque
from collections.abc import Callable
from socket import AF_INET, IPPROTO_TCP, SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY

from netproxy.forward.listeners import Door
from netproxy.forward.tcp import BUFFER_BYTES, WATCHED_BOTH, Relay, reset
from netproxy.rules import Backend

# Room for one lost SYN, which is sent again after a second, before another back end is tried.
CONNECT_TIMEOUT_S = 1.5
# Back ends that one client is led to before it is turned away.
ATTEMPTS_MAX = 4
# Accepts before established connections get their turn.
ACCEPTS_MAX = 64

_NONBLOCKING_STREAM = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
_UNUSABLE = select.EPOLLERR | select.EPOLLHUP


class Attempt:
    """A client that waits for its back end."""

    __slots__ = ("address", "backend", "client", "deadline", "door", "fd", "pending", "tried")

    def __init__(self, door: Door, client: int, address: str) -> None:
        self.door = door
        self.client = client
        self.address = address
        self.pending: bytes | None = None  # read from the client already
        self.tried: list[Backend] = []
        self.backend: Backend | None = None
        self.fd = -1  # the socket that is connecting
        self.deadline = 0.0


class Connector:
    """Accepts clients and hands them to `relay`, connected. `now` tells monotonic time."""

    def __init__(self, epoll: select.epoll, relay: Relay, *, now: Callable[[], float], connections_max: int) -> None:
        self._epoll = epoll
        self._relay = relay
        self._now = now
        self._connections_max = connections_max
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._into = [self._buffer]
        self._deadlines: deque[tuple[float, Attempt]] = deque()
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.attempts: dict[int, Attempt] = {}

    def accept(self, door: Door, event: int) -> None:
        """Take in the clients that wait at a door."""
        accept = door.accept
        for _ in range(ACCEPTS_MAX):
            try:
                client, peer = accept()
            except BlockingIOError:
                return
            except OSError as refused:
                if refused.errno in (errno.EMFILE, errno.ENFILE):
                    self._refuse_without_descriptor(door)
                return  # anything else: the client has gone again
            if self._relay.open + len(self.attempts) >= self._connections_max or (
                door.networks and not door.admits(peer[0])
            ):
                door.tally.refused += 1
                reset(client)
                os.close(client)
                continue
            door.tally.connections += 1
            os.set_blocking(client, False)
            self._try_next(Attempt(door, client, peer[0]))

    def progress(self, attempt: Attempt, event: int) -> None:
        """The connecting socket has reported something."""
        if event & _UNUSABLE and _broken(attempt.fd):
            self._failed(attempt)
            return
        if not event & select.EPOLLOUT:
            return
        fd = attempt.fd
        del self.attempts[fd]
        attempt.fd = -1
        self._relay.join(attempt.client, fd, attempt.door.tally, pending=attempt.pending, watched=True)
        self._relay.event(fd, event)

    def expire(self) -> None:
        """Give up attempts that took too long, and try elsewhere."""
        now = self._now()
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, attempt = self._deadlines.popleft()
            if attempt.fd >= 0 and attempt.deadline == deadline:
                self._failed(attempt)

    def close(self) -> None:
        """Turn away everybody who still waits."""
        for attempt in list(self.attempts.values()):
            os.close(attempt.fd)
            self._turn_away(attempt)
        self.attempts.clear()
        os.close(self._spare)

    def _try_next(self, attempt: Attempt) -> None:
        door = attempt.door
        while len(attempt.tried) < ATTEMPTS_MAX:
            backend = door.balancer.pick(attempt.address, self._now(), tried=attempt.tried)
            if backend is None:
                break
            attempt.backend = backend
            attempt.tried.append(backend)
            if self._begin(attempt, backend):
                return
            door.tally.failures += 1
            door.balancer.failed(backend, self._now())
        self._turn_away(attempt)

    def _begin(self, attempt: Attempt, backend: Backend) -> bool:
        """Start to connect; False if it has failed already."""
        try:
            connecting = _socket.socket(AF_INET, _NONBLOCKING_STREAM, 0)
        except OSError:
            return False
        connecting.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        refused = connecting.connect_ex((backend.address, backend.port))
        fd = connecting.detach()
        if refused and refused != errno.EINPROGRESS:
            self._relay.close_later(fd)
            return False
        try:
            established = self._send_first(attempt, fd)
        except OSError:
            self._relay.close_later(fd)
            return False
        if established:
            self._relay.join(attempt.client, fd, attempt.door.tally, pending=attempt.pending, watched=False)
        else:
            attempt.fd = fd
            attempt.deadline = self._now() + CONNECT_TIMEOUT_S
            self.attempts[fd] = attempt
            self._deadlines.append((attempt.deadline, attempt))
            self._epoll.register(fd, WATCHED_BOTH)
        return True

    def _send_first(self, attempt: Attempt, fd: int) -> bool:
        """Pass on what the client has sent already; True if the back end took some, and so is connected.

        On this machine and its bridges a connect is over as soon as it began, and the client's first bytes are there:
        then a new connection costs no wait at all. Raises `OSError` if the back end has refused.
        """
        if attempt.pending is None:
            try:
                count = os.readv(attempt.client, self._into)
            except OSError:  # nothing yet, or reset: whoever reads next sees it
                return False
            if count == 0:
                return False  # the client's FIN is reported again when it is registered
            attempt.door.tally.received.count += count
            first: memoryview | bytes = self._buffer[:count]
        else:
            first = attempt.pending
        try:
            taken = os.write(fd, first)
        except BlockingIOError:
            attempt.pending = bytes(first)
            return False
        except OSError:
            attempt.pending = bytes(first)
            raise
        attempt.pending = bytes(first[taken:]) or None
        return True

    def _failed(self, attempt: Attempt) -> None:
        assert attempt.backend is not None
        del self.attempts[attempt.fd]
        self._relay.close_later(attempt.fd)
        attempt.fd = -1
        attempt.door.tally.failures += 1
        attempt.door.balancer.failed(attempt.backend, self._now())
        self._try_next(attempt)

    def _turn_away(self, attempt: Attempt) -> None:
        attempt.door.tally.refused += 1
        reset(attempt.client)
        self._relay.close_later(attempt.client)

    def _refuse_without_descriptor(self, door: Door) -> None:
        """Out of descriptors: spend the spare one on telling a client, or the listener would stay readable for ever."""
        os.close(self._spare)
        try:
            client, _ = door.accept()
        except OSError:
            pass
        else:
            door.tally.refused += 1
            reset(client)
            os.close(client)
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _broken(fd: int) -> bool:
    borrowed = _socket.socket(AF_INET, SOCK_STREAM, 0, fd)
    try:
        return borrowed.getsockopt(SOL_SOCKET, SO_ERROR) != 0
    finally:
        borrowed.detach()
