"""Answers on their way to the wire: a head and a body written at once, without building header objects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from orchestrator.api import codec
from orchestrator.machinery.errors import ApiError
from orchestrator.server import warnings

# Large enough to make writes few, small enough to let others have the loop and the buffers in between.
_CHUNK_BYTES = 256 << 10
# A list of everything takes a slow client half a minute; nobody holds one for longer than this.
_WRITE_TIMEOUT_S = 120.0
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Answer:
    """A complete answer. `parts` is the body of a long list, written in pieces; else it is `body`."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()
    parts: Sequence[bytes] = ()

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

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything; `write_eof` has nothing left to do."""
        answer = self._answer
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        self._keep_alive = request.keep_alive
        self._eof_sent = True
        length = sum(map(len, answer.parts)) if answer.parts else len(answer.body)
        head = self._head(length)
        if request.method == "HEAD":
            transport.write(head)
        elif answer.parts:
            transport.write(head)
            try:
                async with asyncio.timeout(_WRITE_TIMEOUT_S):
                    for chunk in _chunks(answer.parts):
                        transport.write(chunk)
                        await request.writer.drain()
            except TimeoutError as exc:
                transport.abort()
                raise ConnectionResetError("the client does not read its answer") from exc
        else:
            transport.write(head + answer.body)
            if length > _CHUNK_BYTES:
                await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: `prepare` wrote it all."""

    def _head(self, length: int) -> bytes:
        answer = self._answer
        lines = (
            f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {length}\r\n"
        )
        if not self._keep_alive:
            lines += "Connection: close\r\n"
        has_cache_control = False
        for name, value in answer.headers:
            lines += f"{name}: {value}\r\n"
            has_cache_control = has_cache_control or name == "Cache-Control"
        if not has_cache_control:
            lines += "Cache-Control: no-cache, private\r\n"
        for name, value in warnings.headers_of(self._warnings):
            lines += f"{name}: {value}\r\n"
        return (lines + "\r\n").encode("utf-8", "replace")


def _chunks(parts: Sequence[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= _CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
