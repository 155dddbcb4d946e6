"""Events go an hour after they were last seen."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from orchestrator.api import codec
from orchestrator.api.resources import CORE_EVENTS
from orchestrator.machinery.clock import timestamp
from orchestrator.server.expiry import EVENT_LIFE_S, expire_events, expired
from orchestrator.server.watch_cache import WatchCache, key_of
from orchestrator.store.memory import MemoryStore
from tests.support.time import ManualClock

NOW = 1_700_000_000.0
OLD, RECENT = timestamp(NOW - EVENT_LIFE_S - 5), timestamp(NOW - EVENT_LIFE_S + 5)


def an_event(name: str = "e", created: str = OLD, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "creationTimestamp": created}, **fields}


@pytest.mark.parametrize(
    ("event", "goes"),
    [
        pytest.param(an_event(), True, id="old"),
        pytest.param(an_event(created=RECENT), False, id="recent"),
        pytest.param(an_event(lastTimestamp=RECENT), False, id="seen-again"),
        pytest.param(an_event(lastTimestamp=OLD, eventTime=None), True, id="seen-long-ago"),
        pytest.param(an_event(series={"lastObservedTime": RECENT}), False, id="series-goes-on"),
        pytest.param(an_event(lastTimestamp="yesterday"), True, id="times-that-are-none"),
        pytest.param(an_event(lastTimestamp="9999-12-31T23:59:59Z"), True, id="seen-in-the-far-future"),
        pytest.param(an_event(lastTimestamp=timestamp(NOW + 60)), False, id="seen-by-a-clock-that-is-ahead"),
        pytest.param({"metadata": {"name": "e", "namespace": "default"}}, False, id="nobody-knows-when"),
    ],
)
def test_expired(event: dict[str, Any], goes: bool) -> None:
    value = codec.stamp(codec.encode_unstamped(event), 7)
    found = list(expired([value], now=NOW))
    assert found == ([("/registry/core/events/default/e", 7)] if goes else [])


@pytest.mark.looptime
async def test_old_events_are_removed_and_others_stay() -> None:
    store, clock = MemoryStore(), ManualClock(NOW)
    for name, created in (("old", OLD), ("recent", RECENT)):
        key = key_of(CORE_EVENTS, "default", name)
        await store.put(key, codec.encode_unstamped(an_event(name, created)), expect_revision=0)
    cache = WatchCache(store)
    await cache.start()
    running = [asyncio.ensure_future(cache.run()), asyncio.ensure_future(expire_events(store, cache, clock))]
    await asyncio.sleep(61)
    assert await store.get(key_of(CORE_EVENTS, "default", "old")) is None
    assert await store.get(key_of(CORE_EVENTS, "default", "recent")) is not None
    for task in running:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
