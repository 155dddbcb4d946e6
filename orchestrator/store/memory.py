"""The store in memory, for tests and throw-away servers: the same promises but durability."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence

from orchestrator.store.base import (
    Batch,
    Change,
    Compacted,
    FutureRevision,
    Listing,
    Operation,
    Put,
    Record,
    RevisionMismatch,
    Store,
    check_operations,
)
from orchestrator.store.history import Feed, cut


class MemoryStore(Store):
    """See `Store`. History is kept until `compact` is called."""

    def __init__(self) -> None:
        self._revision = 0
        self._compacted = 0
        self._current: dict[str, Record] = {}
        self._changes: list[Change] = []
        # What each change replaced, in step with the changes.
        self._replaced: list[Record | None] = []
        self._feed = Feed(self._read_history)

    async def newest_revision(self) -> int:
        return self._revision

    async def get(self, key: str) -> Record | None:
        return self._current.get(key)

    async def list(
        self, prefix: str, *, at_revision: int | None = None, after_key: str = "", limit: int = 0
    ) -> Listing:
        revision = self._revision if at_revision is None else at_revision
        self._check(revision)
        snapshot = {key: record for key, record in self._current.items() if key.startswith(prefix)}
        for change, replaced in zip(reversed(self._changes), reversed(self._replaced), strict=True):
            if change.revision <= revision:
                break
            if change.key.startswith(prefix):
                if replaced is None:
                    snapshot.pop(change.key, None)
                else:
                    snapshot[change.key] = replaced
        keys = sorted(key for key in snapshot if key > after_key)
        chosen = keys[:limit] if limit else keys
        return Listing(tuple(snapshot[key] for key in chosen), revision, more=len(chosen) < len(keys))

    async def commit(self, operations: Sequence[Operation], expectations: Mapping[str, int]) -> int:
        check_operations(operations)
        for key, expected in expectations.items():
            actual = self._current.get(key)
            if expected != (actual.revision if actual else 0):
                raise RevisionMismatch(key, actual)
        for one in operations:
            if not isinstance(one, Put) and one.key not in self._current:
                raise RevisionMismatch(one.key, None)
        self._revision += 1
        changes = [self._apply(one) for one in operations]
        self._changes.extend(changes)
        self._feed.publish(Batch(changes, self._revision))
        return self._revision

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Batch]:
        return self._feed.follow(prefix, from_revision)

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision
        self._compacted = max(self._compacted, revision)
        kept_from = bisect_right(self._changes, self._compacted, key=lambda change: change.revision)
        del self._changes[:kept_from]
        del self._replaced[:kept_from]

    async def close(self) -> None:
        self._feed.close()

    def _apply(self, one: Operation) -> Change:
        self._replaced.append(self._current.get(one.key))
        if isinstance(one, Put):
            self._current[one.key] = Record(one.key, one.value, self._revision)
            return Change(one.key, one.value, self._revision)
        del self._current[one.key]
        return Change(one.key, None, self._revision)

    def _check(self, revision: int) -> None:
        if revision < self._compacted:
            raise Compacted(revision, self._compacted)
        if revision > self._revision:
            raise FutureRevision

    async def _read_history(self, prefix: str, after: int, limit: int) -> tuple[Batch, bool]:
        self._check(after)
        start = bisect_right(self._changes, after, key=lambda change: change.revision)
        found: list[Change] = []
        for index in range(start, len(self._changes)):
            change = self._changes[index]
            if change.key.startswith(prefix):
                found.append(change)
                if len(found) == limit:
                    break
        return cut(found, limit, self._revision)
