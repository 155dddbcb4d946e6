"""The work queue of a controller: keys, each at most once, never two workers on one key."""

from __future__ import annotations

import asyncio
from collections import deque


class WorkQueue:
    """A de-duplicating queue of keys with delayed additions.

    A key added while it waits is one entry; added while it is processed, it comes back after `done`. There is at most
    one entry and one timer a key, so the number of objects bounds the queue. Not thread-safe: use from the loop.
    """

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._processing: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._not_empty = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait to be processed now (timers not counted)."""
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Have the key processed soon."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._not_empty.set()

    def add_after(self, key: str, delay_s: float) -> None:
        """Have the key processed after a delay; of several delays for one key the shortest counts."""
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay_s:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay_s, self._timer_fired, key)

    def _timer_fired(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def get(self) -> str:
        """Wait for a key and take it; the caller must call `done` with it."""
        while not self._ready:
            self._not_empty.clear()
            await self._not_empty.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        """The key has been processed; if it was added meanwhile, it is ready again."""
        self._processing.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._not_empty.set()

    def close(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
