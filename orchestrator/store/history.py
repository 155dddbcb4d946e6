"""Following a store's changes: live ones are handed over as they are committed, older ones read from its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from orchestrator.store.base import Batch, Change

# Some commits' worth. A follower with more waiting reads them from the history again instead of holding them here.
PENDING_MAX = 4096
# What one read of the history brings: large enough to be quick, small enough to let others in between. Several times
# what one commit may hold, so that cutting at a commit's end always leaves something.
READ_MAX = 1000

#: Reads the changes below a prefix after a revision, at most so many; raises `Compacted` or `FutureRevision`. The
#: batch's revision is how far the reading came, and the flag says whether the history goes on behind it.
ReadHistory = Callable[[str, int, int], Awaitable[tuple[Batch, bool]]]


def cut(changes: Sequence[Change], limit: int, newest: int) -> tuple[Batch, bool]:
    """The batch that a read of at most `limit` changes up to revision `newest` makes: never a part of a commit."""
    if len(changes) < limit:
        return Batch(changes, newest), False
    last = changes[-1].revision
    whole = [change for change in changes if change.revision < last]
    assert whole, "a commit larger than what one read brings"
    return Batch(whole, whole[-1].revision), True


class _Follower:
    """One watch: what it waits for, and what has been committed since it last looked."""

    __slots__ = ("behind", "pending", "prefix", "reached", "wake")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.pending: list[Change] = []
        self.reached = 0
        self.behind = True
        self.wake = asyncio.Event()

    def offer(self, batch: Batch) -> None:
        if self.behind:
            return  # the history has them, and is going to be read
        self.reached = batch.revision
        self.pending.extend(change for change in batch.changes if change.key.startswith(self.prefix))
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

    def publish(self, batch: Batch) -> None:
        """Hand over committed changes, in revision order and by whole commits; they are in the history already."""
        for follower in self._followers:
            follower.offer(batch)

    def close(self) -> None:
        """End every follower's iteration."""
        self._closed = True
        for follower in self._followers:
            follower.wake.set()

    async def follow(self, prefix: str, from_revision: int) -> AsyncIterator[Batch]:
        """The body of `Store.watch`."""
        follower = _Follower(prefix)
        self._followers.add(follower)
        seen = from_revision
        try:
            while not self._closed:
                if follower.behind:
                    # Cleared before reading: what is committed from here on is offered, what was before is read.
                    follower.behind = False
                    batch, goes_on = await self._read_history(prefix, seen, READ_MAX)
                    changes, reached = batch.changes, batch.revision
                    if goes_on:
                        follower.behind = True
                        follower.pending.clear()
                else:
                    await follower.wake.wait()
                    follower.wake.clear()
                    if follower.behind:
                        continue
                    changes, follower.pending, reached = follower.pending, [], follower.reached
                if reached > seen:
                    fresh = [change for change in changes if change.revision > seen]
                    seen = reached
                    yield Batch(fresh, seen)
        finally:
            self._followers.discard(follower)
