"""The store's protocol and its promises. `tests/contract/test_store.py` holds every implementation to them.

A store maps keys to opaque bytes and numbers every change with one 64-bit revision, monotonic over all keys.
Promises: a write is durable before it is acknowledged; revisions are handed out in commit order; a watch delivers every
change after its start revision once, in order, without gaps; a list at a revision is a consistent snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One key's value and the revision that wrote it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change. `value` is None for a deletion; `previous` is the record it replaced, if there was one."""

    key: str
    value: bytes | None
    revision: int
    previous: Record | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent snapshot: records in key order, the revision it shows, and whether more keys follow."""

    records: Sequence[Record]
    revision: int
    more: bool = False


class RevisionMismatch(Exception):
    """The key's revision is not the expected one. `actual` is what is there, None if the key does not exist."""

    def __init__(self, key: str, actual: Record | None) -> None:
        super().__init__(f"cannot write '{key}': its revision is {actual.revision if actual else 'none'}")
        self.key = key
        self.actual = actual


class Compacted(Exception):
    """The revision asked for is older than the history kept. `oldest` is the oldest revision that can still be read."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} has been compacted; the oldest kept is {oldest}")
        self.oldest = oldest


class FutureRevision(Exception):
    """The revision asked for has not happened yet."""


class StoreFailed(Exception):
    """The write could not be made durable (a full disk, an I/O error). Nothing of it is kept; reading still works."""


class Store(Protocol):
    """See the module's promises. All methods are safe to call concurrently; cancellation never undoes a commit."""

    @property
    def revision(self) -> int:
        """The newest committed revision that this process knows."""
        ...

    async def get(self, key: str) -> Record | None: ...

    async def list(
        self, prefix: str, *, at_revision: int | None = None, after_key: str = "", limit: int = 0
    ) -> Listing:
        """Records below `prefix` in key order; `limit` 0 means all. Raises `Compacted` or `FutureRevision`."""
        ...

    async def put(self, key: str, value: bytes, *, expect_revision: int | None) -> int:
        """Write and return the new revision once durable.

        `expect_revision` 0: the key must not exist; n: its revision must be n; None: whatever is there.
        Raises `RevisionMismatch`.
        """
        ...

    async def delete(self, key: str, *, expect_revision: int | None) -> int:
        """Delete and return the deletion's revision once durable. Raises `RevisionMismatch`, also for a missing key."""
        ...

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """Changes after `from_revision`, in batches, until `close`.

        Raises `Compacted` (also later, when it fell behind) or `FutureRevision`. A batch never splits a commit's order.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; the newest value of every key stays."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and release everything. Nothing may be called afterwards."""
        ...
