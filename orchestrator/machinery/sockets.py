"""Sockets for aiohttp's connectors: each closes its own descriptor only, and notices a peer that is gone."""

from __future__ import annotations

import os
import socket
from typing import Any


class OwnSocket(socket.socket):
    """A socket that never closes a descriptor which is no longer its own.

    aiohttp hands a connected socket to `loop.create_connection(sock=...)`. If the connection breaks while TLS begins,
    uvloop (0.23 and before) closes the descriptor before it has noted whose it is, and the socket is never told. When
    the socket is collected, it closes that number again: by then perhaps a watch, a database or a listener, which
    from there on just stays silent.
    """

    __slots__ = ("_identity",)

    def __init__(self, family: int, type: int, proto: int, fileno: int | None = None) -> None:
        super().__init__(family, type, proto, fileno)
        self._identity = _identity_of(self.fileno())

    def __del__(self) -> None:
        if self.fileno() >= 0 and _identity_of(self.fileno()) != self._identity:
            self.detach()
        super().__del__()  # type: ignore[misc]  # the C type's finalizer, which typeshed leaves out


def own_socket(address: Any) -> OwnSocket:
    """A socket factory for aiohttp."""
    family, kind, protocol, _, _ = address
    return OwnSocket(family, kind, protocol)


def words_of(failure: OSError) -> str:
    """What the system says of a failed call, without what our libraries put around it."""
    if isinstance(failure, TimeoutError):
        return "i/o timeout"
    number = failure.errno
    if number is None or not 0 < number < 200:  # names that were not found count otherwise
        return "no such host" if isinstance(failure, socket.gaierror) else "connection failed"
    return os.strerror(number).lower()


def socket_that_notices_a_dead_peer(address: Any) -> OwnSocket:
    """A socket factory for aiohttp: a cut link is an error within half a minute, not a connection that hangs."""
    sock = own_socket(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A cut link is noticed within half a minute, whether we are waiting for bytes or for an acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000)
    return sock


def _identity_of(descriptor: int) -> tuple[int, int] | None:
    """What a descriptor is open on; None if on nothing."""
    try:
        stat = os.fstat(descriptor)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
