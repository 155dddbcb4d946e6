"""The store in memory, for tests and throw-away servers: the same promises but durability."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence

from orchestrator.store.base import Change, Compacted, FutureRevision, Listing, Record, RevisionMismatch
from orchestrator.store.history import Feed


class MemoryStore:
    """See `Store`. History is kept until `compact` is called."""

    def __init__(self) -> None:
        self._revision = 0
        self._compacted = 0
        self._current: dict[str, Record] = {}
        self._changes: list[Change] = []
        self._feed = Feed(self._read_history)

    @property
    def revision(self) -> int:
        return self._revision

    async def get(self, key: str) -> Record | None:
        return self._current.get(key)

    async def list(
        self, prefix: str, *, at_revision: int | None = None, after_key: str = "", limit: int = 0
    ) -> Listing:
        revision = self._revision if at_revision is None else at_revision
        self._check(revision)
        snapshot = {key: record for key, record in self._current.items() if key.startswith(prefix)}
        for change in reversed(self._changes):
            if change.revision <= revision:
                break
            if change.key.startswith(prefix):
                if change.previous is None:
                    snapshot.pop(change.key, None)
                else:
                    snapshot[change.key] = change.previous
        keys = sorted(key for key in snapshot if key > after_key)
        chosen = keys[:limit] if limit else keys
        return Listing(tuple(snapshot[key] for key in chosen), revision, more=len(chosen) < len(keys))

    async def put(self, key: str, value: bytes, *, expect_revision: int | None) -> int:
        previous = self._expect(key, expect_revision)
        return self._commit(key, value, previous)

    async def delete(self, key: str, *, expect_revision: int | None) -> int:
        previous = self._expect(key, expect_revision)
        if previous is None:
            raise RevisionMismatch(key, None)
        return self._commit(key, None, previous)

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        return self._feed.follow(prefix, from_revision)

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision
        self._compacted = max(self._compacted, revision)
        del self._changes[: bisect_right(self._changes, self._compacted, key=lambda change: change.revision)]

    async def close(self) -> None:
        self._feed.close()

    def _expect(self, key: str, expect_revision: int | None) -> Record | None:
        actual = self._current.get(key)
        if expect_revision is not None and expect_revision != (actual.revision if actual else 0):
            raise RevisionMismatch(key, actual)
        return actual

    def _commit(self, key: str, value: bytes | None, previous: Record | None) -> int:
        self._revision += 1
        if value is None:
            del self._current[key]
        else:
            self._current[key] = Record(key, value, self._revision)
        change = Change(key, value, self._revision, previous)
        self._changes.append(change)
        self._feed.publish((change,))
        return self._revision

    def _check(self, revision: int) -> None:
        if revision < self._compacted:
            raise Compacted(revision, self._compacted)
        if revision > self._revision:
            raise FutureRevision

    async def _read_history(self, prefix: str, after: int, limit: int) -> Sequence[Change]:
        self._check(after)
        start = bisect_right(self._changes, after, key=lambda change: change.revision)
        found: list[Change] = []
        for change in self._changes[start:]:
            if change.key.startswith(prefix):
                found.append(change)
                if len(found) == limit:
                    break
        return found
