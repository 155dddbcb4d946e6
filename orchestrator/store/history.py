"""Following a store's changes: live ones are handed over as they are committed, older ones read from its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from orchestrator.store.base import Change

# Some commits' worth. A follower with more waiting reads them from the history again instead of holding them here.
PENDING_MAX = 4096
# What one read of the history brings: large enough to be quick, small enough to let others in between.
READ_MAX = 1000

#: Reads at most `limit` changes below a prefix after a revision; raises `Compacted` or `FutureRevision`.
ReadHistory = Callable[[str, int, int], Awaitable[Sequence[Change]]]


class _Follower:
    """One watch: what it waits for, and what has been committed since it last looked."""

    __slots__ = ("behind", "pending", "prefix", "wake")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.pending: list[Change] = []
        self.behind = True
        self.wake = asyncio.Event()

    def offer(self, changes: Sequence[Change]) -> None:
        if self.behind:
            return  # the history has them, and is going to be read
        self.pending.extend(change for change in changes if change.key.startswith(self.prefix))
        if len(self.pending) > PENDING_MAX:
            self.pending.clear()
            self.behind = True
        self.wake.set()


class Feed:
    """Hands every published change to every follower once, in order. All of it runs on the event loop."""

    def __init__(self, read_history: ReadHistory) -> None:
        self._read_history = read_history
        self._followers: set[_Follower] = set()
        self._closed = False

    def publish(self, changes: Sequence[Change]) -> None:
        """Hand over committed changes, in revision order; they are in the history already."""
        for follower in self._followers:
            follower.offer(changes)

    def close(self) -> None:
        """End every follower's iteration."""
        self._closed = True
        for follower in self._followers:
            follower.wake.set()

    async def follow(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """The body of `Store.watch`."""
        follower = _Follower(prefix)
        self._followers.add(follower)
        seen = from_revision
        try:
            while not self._closed:
                if follower.behind:
                    # Cleared before reading: what is committed from here on is offered, what was before is read.
                    follower.behind = False
                    changes = await self._read_history(prefix, seen, READ_MAX)
                    if len(changes) == READ_MAX:
                        follower.behind = True
                        follower.pending.clear()
                else:
                    await follower.wake.wait()
                    follower.wake.clear()
                    changes, follower.pending = follower.pending, []
                fresh = [change for change in changes if change.revision > seen]
                if fresh:
                    seen = fresh[-1].revision
                    yield fresh
        finally:
            self._followers.discard(follower)
