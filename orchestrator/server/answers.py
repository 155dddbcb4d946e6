"""Answers on their way to the wire: a head and a body written at once, without building header objects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from orchestrator.api import codec
from orchestrator.machinery.errors import ApiError
from orchestrator.server import warnings

# Large enough to make writes few, small enough to let others have the loop and the buffers in between.
_CHUNK_BYTES = 256 << 10
#: A list of everything takes a slow client half a minute; nobody holds one for longer than this.
WRITE_TIMEOUT_S = 120.0
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Listed:
    """A body that is a list of items which exist already: all that it holds of them is where they are.

    Its length is that of the body in bytes; going over it gives the body in pieces.
    """

    head: bytes
    items: Sequence[bytes]
    tail: bytes

    def __len__(self) -> int:
        """How many bytes it has."""
        commas = max(0, len(self.items) - 1)
        return len(self.head) + sum(map(len, self.items)) + commas + len(self.tail)

    def __iter__(self) -> Iterator[bytes]:
        """The whole of it in pieces, each put together when it is asked for."""
        opening, batch, size = self.head, [], 0
        for item in self.items:
            batch.append(item)
            size += len(item)
            if size >= _CHUNK_BYTES:
                batch[0] = opening + batch[0]
                yield b",".join(batch)
                opening, batch, size = b",", [], 0
        if batch:
            batch[0] = opening + batch[0]
        elif not self.items:
            yield self.head
        yield b",".join(batch) + self.tail


@dataclass(slots=True)
class Answer:
    """A complete answer. The body is `body`, or `parts`, or `rendered`: made while it is sent."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()
    parts: Listed | None = None
    rendered: Iterable[bytes] | None = None

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """The JSON of a value."""
        return cls(codec.encode(value), status, headers=headers)

    @classmethod
    def of_error(cls, error: ApiError) -> Answer:
        """The `Status` of an error."""
        headers: list[tuple[str, str]] = []
        if "retryAfterSeconds" in error.details:
            headers.append(("Retry-After", str(error.details["retryAfterSeconds"])))
        return cls.of(error.as_status(), error.status_code, headers)


def success(details: Mapping[str, Any] | None = None, *, status: int = 200) -> Answer:
    """The `Status` of something that was done and leaves no object to show."""
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        body["details"] = {key: value for key, value in details.items() if value}
    if status == 201:
        body["code"] = 201
    return Answer.of(body, status)


class DirectResponse(web.StreamResponse):
    """An `Answer` as aiohttp takes it. It writes by itself, so aiohttp's own preparation of headers is skipped."""

    def __init__(self, answer: Answer, warnings: Sequence[str] = ()) -> None:
        # Not the base's initialisation: everything it sets up belongs to the header building that we skip.
        self._answer = answer
        self._warnings = warnings
        self._status = answer.status
        self._keep_alive = None
        self._eof_sent = False
        self._payload_writer = None
        self._state = {}

    async def send(self, request: web.BaseRequest) -> None:
        """Write everything. Raises `ConnectionError` if the client is gone, or does not read in time."""
        answer = self._answer
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        # Whoever is not known any more may be so again on a connection made with what was renewed since.
        self._keep_alive = request.keep_alive and answer.status != 401
        self._eof_sent = True
        if answer.rendered is not None:
            await self._send_rendered(request, transport, answer.rendered)
            return
        length = len(answer.body if answer.parts is None else answer.parts)
        head = self._head(f"Content-Length: {length}\r\n")
        if request.method == "HEAD":
            transport.write(head)
        elif length <= _CHUNK_BYTES and answer.parts is None:
            transport.write(head + answer.body)
        else:
            transport.write(head)
            patience = _Patience(request, transport)
            for chunk in _slices(answer.body) if answer.parts is None else answer.parts:
                transport.write(chunk)
                await patience.wait_until_read()
            return
        if request.protocol.writing_paused:
            await _Patience(request, transport).wait_until_read()

    async def _send_rendered(
        self, request: web.BaseRequest, transport: asyncio.Transport, pieces: Iterable[bytes]
    ) -> None:
        """Write a body while it is made: how long it will be is not known before."""
        is_chunked = request.version >= HttpVersion11
        if not is_chunked:
            self._keep_alive = False  # the end of the connection is the end of the body
        transport.write(self._head("Transfer-Encoding: chunked\r\n" if is_chunked else ""))
        if request.method == "HEAD":
            return
        patience = _Patience(request, transport)
        for piece in pieces:
            transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await patience.wait_until_read()
            await asyncio.sleep(0)  # rendering takes its time: others are to have the loop in between
        if is_chunked:
            transport.write(b"0\r\n\r\n")

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing: `send` wrote it all."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing either."""

    def _head(self, length: str) -> bytes:
        answer = self._answer
        lines = f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}\r\n"
        if answer.status != HTTPStatus.NOT_MODIFIED:
            # Caches put the headers of a 304 in the place of those they have: it says nothing of a body.
            lines += f"Content-Type: {answer.content_type}\r\n{length}"
        if not self._keep_alive:
            lines += "Connection: close\r\n"
        has_cache_control = False
        for name, value in answer.headers:
            lines += f"{name}: {value}\r\n"
            has_cache_control = has_cache_control or name == "Cache-Control"
        if not has_cache_control:
            lines += "Cache-Control: no-cache, private\r\n"
        if self._warnings:
            for name, value in warnings.headers_of(self._warnings):
                lines += f"{name}: {value}\r\n"
        return (lines + "\r\n").encode("utf-8", "replace")


class _Patience:
    """How long a client is waited for that does not read: one time limit for all of its answer."""

    __slots__ = ("_left_s", "_request", "_transport")

    def __init__(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        self._request = request
        self._transport = transport
        self._left_s = WRITE_TIMEOUT_S

    async def wait_until_read(self) -> None:
        """Wait until there is room for more. Raises `ConnectionResetError`, and cuts, when the time is used up."""
        if not self._request.protocol.writing_paused:
            if self._request.transport is None:
                raise ConnectionResetError("the client is gone")
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                await self._request.writer.drain()
        except TimeoutError as exc:
            self._transport.abort()
            raise ConnectionResetError("the client does not read its answer") from exc
        self._left_s -= loop.time() - began


def _slices(body: bytes) -> Iterator[bytes]:
    return (body[start : start + _CHUNK_BYTES] for start in range(0, len(body), _CHUNK_BYTES))
