"""From a blocking generator in a thread to an async iterator, bounded, without a wake-up per item."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

# Enough to keep the reader busy while the thread fetches more; a slow reader holds the thread back.
_ITEMS_MAX = 256


class ThreadStream(Generic[T]):
    """A thread calls `run`, the loop calls `next_batch` and at the end `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._readable = asyncio.Event()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None

    def run(self, items: Iterable[T]) -> None:
        """Hand `items` over until they end or the reader closes. Never raises: the reader gets it."""
        try:
            for item in items:
                if not self._put(item):
                    return
        except Exception as error:  # noqa: BLE001 - it is raised again in the reader
            self._error = error
        finally:
            self._ended = True
            self._wake()

    def _put(self, item: T) -> bool:
        with self._changed:
            while len(self._items) >= _ITEMS_MAX and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            first = len(self._items) == 1
        if first:
            self._wake()
        return True

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._readable.set)

    async def next_batch(self) -> Sequence[T]:
        """What has come since; empty at the end. Raises what the generator raised."""
        while True:
            with self._changed:
                batch = list(self._items)
                self._items.clear()
                self._readable.clear()
                ended = self._ended
                self._changed.notify()
            if batch:
                return batch
            if ended:
                if self._error is not None:
                    raise self._error
                return ()
            await self._readable.wait()

    def close(self, interrupt: Callable[[], object] | None = None) -> None:
        """Let the thread end; `interrupt` ends whatever read it blocks in."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if interrupt is not None and not self._ended:
            interrupt()
