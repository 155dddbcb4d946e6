"""The store's protocol and its promises. `tests/contract/test_store.py` holds every implementation to them.

A store maps keys to opaque bytes and numbers every commit with one 64-bit revision, monotonic over all keys.

A commit is durable before it is acknowledged, whole or not at all, and takes exactly one revision. It may write several
keys, each in a collection of its own (`collection_of`): all its changes carry its revision, so within a collection,
which is what clients list and watch, no two changes ever share one. Revisions are handed out in commit order.

A list at a revision is a consistent snapshot. A watch delivers every change after its start revision once, in order,
without gaps, and never a part of a commit; where nothing below its prefix changes it still tells how far it has come
(progress), so whoever follows a quiet collection can know that it shows everything.

What is newest only the store knows, since others may write to it: `newest_revision` asks. A change carries what is
there now, not what was there before: that is known to whoever has followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# What a store over a network must have answered by; one that answers at once needs no clock for it.
NEWEST_TIMEOUT_S = 10.0
# etcd's own limit for a transaction. A commit holds one change a collection, so it is far from it.
OPERATIONS_MAX = 128


@dataclass(frozen=True, slots=True)
class Record:
    """One key's value and the revision that wrote it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write this value, whether or not the key exists."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the key, which must exist."""

    key: str


Operation = Put | Delete


@dataclass(frozen=True, slots=True)
class Change:
    """One key's part in a commit. `value` is None for a deletion."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What a watch delivers: the next changes below its prefix, all of them up to `revision`. No changes: progress."""

    changes: Sequence[Change]
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent snapshot: records in key order, the revision it shows, and whether more keys follow."""

    records: Sequence[Record]
    revision: int
    more: bool = False


class RevisionMismatch(Exception):
    """A key's revision is not the expected one. `actual` is what is there, None if the key does not exist."""

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


class Unusable(Exception):
    """The store cannot be opened, and trying again will not help. The text says what is wrong, and the ways out."""


class UnusableForNow(Unusable):
    """It cannot be opened for a reason that may pass, like a full disk, and nothing speaks against what is there."""


def collection_of(key: str) -> str:
    """The part of a key that names its collection: `/registry/GROUP/RESOURCE`, or the whole of a shorter key."""
    return "/".join(key.split("/", 4)[:4])


def check_operations(operations: Sequence[Operation]) -> None:
    """Raise `ValueError` for what no store takes as one commit."""
    if not 0 < len(operations) <= OPERATIONS_MAX:
        raise ValueError(f"cannot commit {len(operations)} operations: a commit has 1 to {OPERATIONS_MAX}")
    if len(operations) > 1 and len({collection_of(one.key) for one in operations}) < len(operations):
        raise ValueError("cannot commit two changes of one collection at one revision")


class Store(Protocol):
    """See the module's promises. All methods are safe to call concurrently; cancellation never undoes a commit."""

    async def newest_revision(self) -> int:
        """The revision of the newest acknowledged commit, whoever made it; 0 before the first.

        Within `NEWEST_TIMEOUT_S`, or it raises `TimeoutError`.
        """
        ...

    async def get(self, key: str) -> Record | None: ...

    async def list(
        self, prefix: str, *, at_revision: int | None = None, after_key: str = "", limit: int = 0
    ) -> Listing:
        """Records below `prefix` in key order; `limit` 0 means all. Raises `Compacted` or `FutureRevision`.

        At revision 0 nothing existed: that can be listed until something has been compacted.
        """
        ...

    async def commit(self, operations: Sequence[Operation], expectations: Mapping[str, int]) -> int:
        """Carry out all operations at one new revision, and return it once they are durable.

        `expectations` are revisions that keys must have at that moment, 0 for a key that must not exist; they may be on
        keys that are not written. Raises `RevisionMismatch` for the first that does not hold, and for a `Delete` of a
        key that does not exist; `StoreFailed`; and `ValueError` for two operations in one collection.
        """
        ...

    async def put(self, key: str, value: bytes, *, expect_revision: int | None) -> int:
        """Commit one value: over nothing (`expect_revision` 0), over revision n, or over whatever is there (None)."""
        return await self.commit((Put(key, value),), {} if expect_revision is None else {key: expect_revision})

    async def delete(self, key: str, *, expect_revision: int | None) -> int:
        """Commit one deletion: of revision n, or of whatever is there (None)."""
        return await self.commit((Delete(key),), {} if expect_revision is None else {key: expect_revision})

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Batch]:
        """Changes after `from_revision`, and progress, until `close`.

        Every commit, wherever it was, is followed soon by a batch whose revision reaches it. Raises `Compacted` (also
        later, when it fell behind) or `FutureRevision`.
        """
        ...

    def failure(self) -> str | None:
        """What keeps the store from taking writes, for people; None when all is well."""
        return None

    async def wait_failed(self) -> None:
        """Wait until the store has failed for good, and raise `StoreFailed`: a process without a store should end."""
        await asyncio.get_running_loop().create_future()

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; the newest value of every key stays."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and release everything. Nothing may be called afterwards."""
        ...
