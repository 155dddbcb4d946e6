"""Events go an hour after they were last seen: nothing else would ever remove them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from orchestrator.api import codec
from orchestrator.api.resources import CORE_EVENTS
from orchestrator.machinery.clock import Clock, parse_timestamp
from orchestrator.machinery.log import get_logger
from orchestrator.server.watch_cache import WatchCache, key_of
from orchestrator.server.watches import revision_of
from orchestrator.store.base import RevisionMismatch, Store, StoreFailed

logger = get_logger(__name__)

# Kubernetes' default.
EVENT_LIFE_S = 3600.0
_LOOK_EVERY_S = 60.0
# Others get the loop after this many events looked at, and this many deletions share a commit.
_AT_ONCE = 200


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    name: str
    namespace: str = ""
    creation_timestamp: str = ""


class _Series(msgspec.Struct, rename="camel", gc=False):
    last_observed_time: str | None = None


class _Event(msgspec.Struct, rename="camel", gc=False):
    metadata: _Metadata
    last_timestamp: str | None = None
    event_time: str | None = None
    series: _Series | None = None


def expired(values: Iterable[bytes], *, now: float) -> Iterator[tuple[str, int]]:
    """Key and revision of each stored event that was last seen longer ago than events live."""
    for value in values:
        event = codec.decode_into(value, _Event)
        series = event.series.last_observed_time if event.series is not None else None
        times = (event.metadata.creation_timestamp, event.last_timestamp, event.event_time, series)
        # Most of these are the client's own words: who says that it will be seen in a hundred years is not believed.
        believed = (seen for text in times if text and (seen := _seconds(text)) <= now + EVENT_LIFE_S)
        last_seen = max(believed, default=now)
        if last_seen + EVENT_LIFE_S < now:
            yield key_of(CORE_EVENTS, event.metadata.namespace, event.metadata.name), revision_of(value)


def _seconds(text: str) -> float:
    try:
        return parse_timestamp(text)
    except ValueError:
        return 0.0


async def expire_events(store: Store, cache: WatchCache, clock: Clock) -> None:
    """Remove what has expired, for ever. An event that is seen again in the meantime stays."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        values = cache.list(CORE_EVENTS)
        removed = 0
        for start in range(0, len(values), _AT_ONCE):
            doomed = list(expired(values[start : start + _AT_ONCE], now=clock.now()))
            removed += await _remove(store, doomed)
            await asyncio.sleep(0)
        if removed:
            logger.info("events.expired", count=removed)


async def _remove(store: Store, doomed: Sequence[tuple[str, int]]) -> int:
    results = await asyncio.gather(
        *(store.delete(key, expect_revision=revision) for key, revision in doomed), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, RevisionMismatch | StoreFailed):
            raise result
    return sum(isinstance(result, int) for result in results)
