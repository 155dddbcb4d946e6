"""HTTP/1.1 on one connection: aiohttp's, with limits on heads, quiet about malformed ones, and cut by whoever counts.

What is used here of aiohttp's private parts, `tests/contract/test_aiohttp.py` names and holds.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from orchestrator.machinery.log import get_logger
from orchestrator.server.answers import Answer, DirectResponse
from orchestrator.server.authentication.base import User

if TYPE_CHECKING:
    from orchestrator.server.connections import Connections

logger = get_logger(__name__)

# Enough that a client reads without pause, little enough that thousands that do not read cost little.
_UNREAD_BYTES = 64 << 10
_WHY_MAX = 200


class Ticket:
    """A connection as it is counted, from before its handshake on."""

    __slots__ = ("connection", "identity", "opening")

    def __init__(self) -> None:
        self.opening: asyncio.Task[None] | None = None
        self.connection: Connection | None = None
        self.identity = ""

    def cut(self) -> None:
        """End it at once, whatever it is doing."""
        if self.opening is not None:
            self.opening.cancel()
        if self.connection is not None:
            self.connection.abort()


class Connection(RequestHandler):
    """One connection. `connections` counts it and holds the limits."""

    __slots__ = ("_body", "_connections", "_head_bytes", "_head_timer", "_ticket")

    def __init__(self, server: web.Server, connections: Connections, ticket: Ticket, **parameters: Any) -> None:
        limits = connections.limits
        super().__init__(
            server,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp itself says it
            auto_decompress=False,  # nor does Kubernetes: a small body would become a large one
            max_line_size=limits.head_bytes,
            max_field_size=limits.head_bytes,
            max_headers=1000,
            **parameters,
        )
        self._connections = connections
        self._ticket = ticket
        self._body: StreamReader | None = None  # the last request's: what comes after it is a head
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def know(self, user: User) -> None:
        """A request came whose sender is known. Raises `TooManyRequests`."""
        if not self._ticket.identity:
            self._connections.know(self._ticket, user)

    def abort(self) -> None:
        """End it without waiting for anything to be read."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=_UNREAD_BYTES)
        self._ticket.connection = self
        self._head_timer = self._loop.call_later(self._connections.limits.head_s, self.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_head()
        self._connections.leave(self._ticket)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            self._body = self._messages[-1][1]
            if self._head_timer is not None:
                self._forget_head()
            if self._current_request is not None:
                self._end_broken_body()
        elif data and (self._body is None or self._body.is_eof()) and not self._upgraded:
            # Without data, aiohttp only goes on with what it has: after a body that had it stop reading, say.
            self._hold_head(len(data))

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading. aiohttp asks for it whenever a body has been read; mostly, nobody had stopped."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _hold_head(self, size: int) -> None:
        """A head is coming in pieces: it has so much time, and so much room."""
        connections = self._connections
        if self._head_timer is None:
            self._head_timer = self._loop.call_later(connections.limits.head_s, self.abort)
        self._head_bytes += size
        connections.heads_bytes += size
        if self._head_bytes > connections.limits.head_bytes or connections.heads_bytes > connections.limits.heads_bytes:
            if self.transport is not None:
                self.transport.write(_refusal(431))
            self._forget_head()
            self.force_close()

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._connections.heads_bytes -= self._head_bytes
        self._head_bytes = 0

    def _end_broken_body(self) -> None:
        """Have whoever reads a body hear that it is framed wrongly: aiohttp only queues an error behind it."""
        assert self._current_request is not None
        body = self._current_request.content
        if not body.is_eof() and isinstance(self._messages[-1][0], _ErrInfo):
            body.set_exception(RequestPayloadError("the body is framed wrongly"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or not ours, as Go's server does, and say so in one line, sparingly."""
        if status >= 500:
            logger.error("request.failed", why=type(exc).__name__, exc_info=exc)
        elif (more := self._connections.sparing.admits("request.malformed")) is not None:
            peer = self.peername
            logger.info(
                "request.malformed",
                peer=peer[0] if isinstance(peer, tuple) else "",
                why=" ".join(str(message).split())[:_WHY_MAX],
                unlogged=more,
            )
        if isinstance(exc, LineTooLong):
            status = 431
        if self.transport is not None:
            self.transport.write(_refusal(status))
        return DirectResponse(Answer(status=status))  # written, and the end of the connection


def _refusal(status: int) -> bytes:
    """Word for word what Go's server says to what it does not understand."""
    text = f"{status} {HTTPStatus(status).phrase}"
    return (
        f"HTTP/1.1 {text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
        f"Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()
