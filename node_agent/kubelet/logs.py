"""One container's log as the kubelet serves it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from node_agent.runtime.base import ContainerRuntime, LogOptions
from orchestrator.api.numbers import BadNumber, parse_int64
from orchestrator.machinery.clock import Clock, parse_timestamp


class BadLogOptions(ValueError):
    """A parameter that makes no sense; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """What a client wants to see."""

    options: LogOptions
    previous: bool = False
    limit_bytes: int | None = None


def log_request(query: Mapping[str, str], clock: Clock) -> LogRequest:
    """The request that the parameters describe. Raises BadLogOptions."""
    try:
        since = float(parse_int64(query["sinceSeconds"])) if query.get("sinceSeconds") else 0.0
        since_time = _moment(query["sinceTime"]) if query.get("sinceTime") else 0.0
        tail = parse_int64(query["tailLines"]) if query.get("tailLines") else None
        limit = parse_int64(query["limitBytes"]) if query.get("limitBytes") else None
    except BadNumber as bad:
        raise BadLogOptions(f"invalid log options: {bad}") from bad
    options = LogOptions(
        follow=_flag(query, "follow"),
        timestamps=_flag(query, "timestamps"),
        tail=tail,
        since=clock.now() - since if since else since_time,
    )
    return LogRequest(options=options, previous=_flag(query, "previous"), limit_bytes=limit)


def _moment(text: str) -> float:
    try:
        return parse_timestamp(text)
    except ValueError as bad:
        raise BadLogOptions(f'invalid log options: parsing time "{text[:64]}": not a timestamp') from bad


async def pieces(runtime: ContainerRuntime, container_id: str, request: LogRequest) -> AsyncGenerator[bytes, None]:
    """The log's bytes, at most as many as asked for."""
    left = request.limit_bytes
    async with aclosing(runtime.logs(container_id, request.options)) as found:
        async for piece in found:
            if left is None:
                yield piece
                continue
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")
