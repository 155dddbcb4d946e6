"""Bodies on their way in: read before a seat is taken, with a bound on how much is held, in all and by whom."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from orchestrator.machinery.errors import BadRequest, RequestEntityTooLarge, TooManyRequests
from orchestrator.server import metrics
from orchestrator.server.gate.levels import CATCH_ALL, GLOBAL_DEFAULT, WORKLOAD_LOW, Level

_RETRY_AFTER_S = 1
# What a flood of bodies of pods and of people leaves for nodes, controllers and masters.
_COMMON = (WORKLOAD_LOW, GLOBAL_DEFAULT, CATCH_ALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """How large, how many and how slow bodies may be."""

    body_bytes: int = 3 << 20
    """The largest body; Kubernetes' own limit."""
    flow_bytes: int = 32 << 20
    """Bytes of one identity's bodies held at once, from their arrival to the answer."""
    total_bytes: int = 128 << 20
    """Bytes of all bodies held at once."""
    reserve_bytes: int = 32 << 20
    """Of these, how many only system identities may take."""
    read_s: float = 60.0
    """How long a body may take to come: three megabytes over a bad line."""


class Intake:
    """Reads bodies and counts what is held of them. What `read` returns is held until `give_back`."""

    def __init__(self, limits: IntakeLimits) -> None:
        self._limits = limits
        self._held = 0
        self._of_flow: dict[str, int] = {}
        metrics.BODY_BYTES.set_function(lambda: self._held)

    async def read(self, http: web.BaseRequest, level: Level, flow: str) -> bytes:
        """The whole body.

        Raises `RequestEntityTooLarge`, `TooManyRequests` when too much is held already, `BadRequest` for a body that
        is framed wrongly, `TimeoutError` when it does not come, and then holds nothing.
        """
        length = http.content_length
        if length is not None and length > self._limits.body_bytes:
            raise self._too_large()
        if http.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
            http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if http.content.is_eof():  # all of it came with the head: nothing to wait for
                body = http.content.read_nowait()
                if len(body) > self._limits.body_bytes:
                    raise self._too_large()
                self._take(len(body), level, flow)
                return body
            return await self._read_slowly(http, level, flow)
        except web.RequestPayloadError as exc:
            raise BadRequest("the body of the request is not framed as its headers say") from exc

    async def _read_slowly(self, http: web.BaseRequest, level: Level, flow: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.read_s):
                while chunk := await http.content.readany():
                    if size + len(chunk) > self._limits.body_bytes:
                        raise self._too_large()
                    self._take(len(chunk), level, flow)
                    size += len(chunk)
                    chunks.append(chunk)
        except BaseException:
            self.give_back(size, flow)
            raise
        return b"".join(chunks)

    def give_back(self, size: int, flow: str) -> None:
        """So many bytes of a body that was read are held no longer."""
        if not size:
            return
        self._held -= size
        left = self._of_flow[flow] - size
        if left:
            self._of_flow[flow] = left
        else:
            del self._of_flow[flow]

    def _take(self, size: int, level: Level, flow: str) -> None:
        if not size:
            return
        limits = self._limits
        own = self._of_flow.get(flow, 0) + size
        most = limits.total_bytes - (limits.reserve_bytes if level in _COMMON else 0)
        if self._held + size > most or (own > limits.flow_bytes and not level.is_exempt):
            metrics.REJECTED.labels(level.name, "body-bytes").inc()
            raise TooManyRequests("Too many requests, please try again later.", retry_after_s=_RETRY_AFTER_S)
        self._held += size
        self._of_flow[flow] = own

    def _too_large(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(f"Request entity too large: limit is {self._limits.body_bytes}")
