"""A store whose values are kept in another form, encrypted for instance, than its users see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from orchestrator.store.base import (
    Batch,
    Change,
    Delete,
    Listing,
    Operation,
    Put,
    Record,
    RevisionMismatch,
    Store,
)


class Transform(Protocol):
    """How values are kept. The key is given so that a value moved to another key can be refused."""

    def seal(self, key: str, value: bytes) -> bytes:
        """What is kept for a value."""
        ...

    def unseal(self, key: str, kept: bytes) -> bytes:
        """The value of what is kept: `unseal(key, seal(key, value)) == value`, also for what older settings sealed."""
        ...


class Identity:
    """Values are kept as they are."""

    def seal(self, key: str, value: bytes) -> bytes:
        return value

    def unseal(self, key: str, kept: bytes) -> bytes:
        return kept


class TransformedStore(Store):
    """Any store with a transform around its values: the same promises, keys and revisions."""

    def __init__(self, store: Store, transform: Transform) -> None:
        self._store = store
        self._transform = transform

    async def newest_revision(self) -> int:
        return await self._store.newest_revision()

    async def get(self, key: str) -> Record | None:
        record = await self._store.get(key)
        return self._record(record) if record is not None else None

    async def list(
        self, prefix: str, *, at_revision: int | None = None, after_key: str = "", limit: int = 0
    ) -> Listing:
        kept = await self._store.list(prefix, at_revision=at_revision, after_key=after_key, limit=limit)
        return Listing(tuple(self._record(record) for record in kept.records), kept.revision, kept.more)

    async def commit(self, operations: Sequence[Operation], expectations: Mapping[str, int]) -> int:
        sealed = [self._sealed(one) for one in operations]
        try:
            return await self._store.commit(sealed, expectations)
        except RevisionMismatch as exc:
            actual = self._record(exc.actual) if exc.actual is not None else None
            raise RevisionMismatch(exc.key, actual) from exc

    async def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Batch]:
        async with aclosing(self._store.watch(prefix, from_revision=from_revision)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                yield Batch([self._change(change) for change in batch.changes], batch.revision)

    def failure(self) -> str | None:
        return self._store.failure()

    async def wait_failed(self) -> None:
        await self._store.wait_failed()

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def close(self) -> None:
        await self._store.close()

    def _sealed(self, one: Operation) -> Operation:
        match one:
            case Put(key, value):
                return Put(key, self._transform.seal(key, value))
            case Delete():
                return one

    def _record(self, kept: Record) -> Record:
        return Record(kept.key, self._transform.unseal(kept.key, kept.value), kept.revision)

    def _change(self, kept: Change) -> Change:
        if kept.value is None:
            return kept
        return Change(kept.key, self._transform.unseal(kept.key, kept.value), kept.revision)
