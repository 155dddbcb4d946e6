"""Connections: accepted one by one, made secure, held to time limits and counted; no stranger's costs much.

A *stranger* is a connection that has not yet brought a request of somebody we know. There is room for so many; when it
is used up, the one that has been a stranger for longest goes: who means well is one for milliseconds only.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import TooManyRequests
from orchestrator.machinery.handshakes import why_refused
from orchestrator.machinery.log import Sparing, get_logger
from orchestrator.machinery.tasks import give_memory_back
from orchestrator.server import metrics
from orchestrator.server.authentication.base import MASTERS, User
from orchestrator.server.http import Connection, Ticket

logger = get_logger(__name__)

_BACKLOG = 1024
# What the store, the log, connections to nodes and the like need of the process' descriptors.
_OTHER_DESCRIPTORS = 256
# After so many connections have gone, what they held is given back to the machine.
_GONE_MANY = 200
_SETTLE_S = 2.0
_OUT_OF_DESCRIPTORS_S = 0.5
_SHUTDOWN_S = 3.0

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many connections there may be, and how long each may take for what."""

    total: int = 10_000
    """All of them: two for each of 5,000 nodes. Fewer where the process may not have as many descriptors."""
    strangers: int = 1_000
    """Those of which nobody knows yet whose they are."""
    of_identity: int = 5_000
    """Those of one identity: half of all, so that none keeps the others out."""
    handshake_s: float = 10.0
    """From the connection to the end of the TLS handshake."""
    head_s: float = 32.0
    """From there, or from a request's first byte, to the end of its headers; Kubernetes' own."""
    idle_s: float = 90.0
    """Between two requests; Kubernetes' own."""
    head_bytes: int = 1 << 20
    """The longest request line with its headers; Kubernetes' own."""
    heads_bytes: int = 64 << 20
    """Bytes of all requests whose headers are not complete."""


class Connections:
    """The connections there are, and who they belong to."""

    def __init__(self, limits: ConnectionLimits, clock: Clock) -> None:
        self.limits = limits
        self.sparing = Sparing(clock)
        self.heads_bytes = 0
        self._total = min(limits.total, _descriptors())
        self._of_identity_max = min(limits.of_identity, self._total // 2)
        self._all: set[Ticket] = set()
        self._strangers: dict[Ticket, None] = {}  # by age
        self._of_identity: dict[str, int] = {}
        self._gone = 0
        self._wants_memory_back = asyncio.Event()
        metrics.CONNECTIONS.labels("all").set_function(lambda: len(self._all))
        metrics.CONNECTIONS.labels("strangers").set_function(lambda: len(self._strangers))

    def admit(self, ticket: Ticket) -> bool:
        """Count a new connection; makes room if only strangers are in the way. False if there is none."""
        if len(self._strangers) >= self.limits.strangers or (len(self._all) >= self._total and self._strangers):
            oldest = next(iter(self._strangers))
            self.leave(oldest)
            oldest.cut()
            metrics.CONNECTIONS_CUT.labels("strangers").inc()
        if len(self._all) >= self._total:
            metrics.CONNECTIONS_CUT.labels("total").inc()
            return False
        self._all.add(ticket)
        self._strangers[ticket] = None
        return True

    def know(self, ticket: Ticket, user: User) -> None:
        """A request came whose sender is known. Raises `TooManyRequests` if that one has too many connections.

        Masters may have as many as there are.
        """
        if ticket not in self._strangers:
            return  # it was cut, and is about to notice
        identity = user.name
        count = self._of_identity.get(identity, 0)
        if count >= self._of_identity_max and MASTERS not in user.groups:
            metrics.CONNECTIONS_CUT.labels("identity").inc()
            raise TooManyRequests("Too many requests, please try again later.", retry_after_s=1)
        del self._strangers[ticket]
        self._of_identity[identity] = count + 1
        ticket.identity = identity

    def leave(self, ticket: Ticket) -> None:
        """A connection is gone. Safe to repeat."""
        if ticket not in self._all:
            return
        self._all.remove(ticket)
        self._strangers.pop(ticket, None)
        if ticket.identity:
            left = self._of_identity[ticket.identity] - 1
            if left:
                self._of_identity[ticket.identity] = left
            else:
                del self._of_identity[ticket.identity]
        self._gone += 1
        if self._gone >= _GONE_MANY:
            self._wants_memory_back.set()

    async def keep_giving_memory_back(self) -> None:
        """After a flood, return to the machine what the allocator would keep for the next one."""
        while True:
            await self._wants_memory_back.wait()
            await asyncio.sleep(_SETTLE_S)  # the others of the flood go, too
            self._gone = 0
            self._wants_memory_back.clear()
            gc.collect(1)  # a connection and its task know each other
            await asyncio.to_thread(give_memory_back)


def _descriptors() -> int:
    """How many connections the process may have, going by its descriptors."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else max(1, most - _OTHER_DESCRIPTORS)


@asynccontextmanager
async def listening(
    handler: Handler,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    limits: ConnectionLimits,
    clock: Clock,
) -> AsyncIterator[int]:
    """Answer on a socket until the block ends; yields the port in use. Requests then have some seconds to finish."""
    connections = Connections(limits, clock)
    server = web.Server(handler, handler_cancellation=True, access_log=None)
    sockets = await _bound(host, port)
    try:
        async with asyncio.TaskGroup() as group:
            arriving = _Arriving(connections, server, tls, group)
            tasks = [group.create_task(arriving.accept(one), name="accept") for one in sockets]
            tasks.append(group.create_task(connections.keep_giving_memory_back(), name="memory"))
            try:
                yield sockets[0].getsockname()[1]
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                arriving.end()
                server.pre_shutdown()
                await server.shutdown(_SHUTDOWN_S)
    finally:
        for one in sockets:
            one.close()


class _Arriving:
    """Takes what the sockets bring, and does the handshakes, many at once."""

    def __init__(
        self, connections: Connections, server: web.Server, tls: ssl.SSLContext | None, group: asyncio.TaskGroup
    ) -> None:
        self._connections = connections
        self._server = server
        self._tls = tls
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        """Accept for ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # it was gone before we took it
            except OSError as exc:
                if (more := self._connections.sparing.admits("connections.not_accepted")) is not None:
                    logger.warning("connections.not_accepted", why=str(exc), unlogged=more)
                await asyncio.sleep(_OUT_OF_DESCRIPTORS_S)  # descriptors come back as connections end
                continue
            ticket = Ticket()
            if not self._connections.admit(ticket):
                if (more := self._connections.sparing.admits("connections.too_many")) is not None:
                    logger.warning("connections.too_many", peer=_shown(peer), unlogged=more)
                sock.close()
                continue
            task = self._group.create_task(self._open(sock, peer, ticket), name="handshake")
            ticket.opening = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Give up the handshakes under way."""
        for task in list(self._tasks):
            task.cancel()

    async def _open(self, sock: socket.socket, peer: Any, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        limits = self._connections.limits
        patience: dict[str, Any] = {"ssl_handshake_timeout": limits.handshake_s} if self._tls is not None else {}
        make = partial(Connection, self._server, self._connections, ticket, loop=loop, keepalive_timeout=limits.idle_s)
        try:
            await loop.connect_accepted_socket(make, sock, ssl=self._tls, **patience)
        except (OSError, ssl.CertificateError) as exc:
            self._connections.leave(ticket)
            self._tell(exc, peer)
        except Exception:
            # Whatever one connection brings, it is not to end the others.
            self._connections.leave(ticket)
            logger.exception("connection.failed", peer=_shown(peer))
        except asyncio.CancelledError:
            self._connections.leave(ticket)
            raise
        finally:
            ticket.opening = None
            if ticket.connection is None:
                sock.close()

    def _tell(self, exc: Exception, peer: Any) -> None:
        """Say in the log why a handshake failed: whoever looks for it sees only one of both sides."""
        metrics.CONNECTIONS_CUT.labels("handshake").inc()
        if not isinstance(exc, (ssl.SSLError, ssl.CertificateError)):
            return  # it went away, or took too long
        why = why_refused(exc)
        if (more := self._connections.sparing.admits(f"tls.refused {why}")) is not None:
            logger.info("tls.refused", peer=_shown(peer), why=why, unlogged=more)


async def _bound(host: str, port: int) -> Sequence[socket.socket]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind(address)
            sock.listen(_BACKLOG)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _shown(peer: Any) -> str:
    return str(peer[0]) if isinstance(peer, tuple) else ""
