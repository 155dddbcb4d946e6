"""The embedded store: one SQLite file in WAL mode, one thread that writes, every waiting write in one commit.

The event loop decides a commit against the newest revisions of its keys, accepted or on disk, and numbers it; the
writer thread makes whatever waits durable in one transaction and reports back once. A decision that a failing
transaction has made void fails with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.clock import Clock
from orchestrator.store import sqlite_files
from orchestrator.store.base import (
    Batch,
    Delete,
    FutureRevision,
    Listing,
    Operation,
    Put,
    Record,
    RevisionMismatch,
    Store,
    StoreFailed,
    check_operations,
)
from orchestrator.store.history import Feed
from orchestrator.store.sqlite_backup import beginning_of, discard, finish
from orchestrator.store.sqlite_files import Backup, Commit, Compaction, Mismatch, Waiting, Written
from orchestrator.store.sqlite_format import PLACE_BITS
from orchestrator.store.sqlite_open import open_file
from orchestrator.store.sqlite_upkeep import Upkeep
from orchestrator.store.sqlite_verify import Damaged, reload

# Bounds the time one commit takes and the memory it needs; a larger share of one fsync would gain nothing.
_BATCH_MAX = 512


class SqliteStore(Store):
    """See `Store`. Make it with `open_sqlite`; one process may have the file open."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        """Open or make the file. Raises `Unusable`."""
        opened = open_file(path)
        self._writer, self._witness = opened.db, opened.witness
        self._reader = sqlite_files.open_reader(path)
        self._chain, self._current = opened.loaded.chain, opened.loaded.current
        self._revision = self._assigned = opened.loaded.newest
        self._epoch = 0
        self._closing = False
        self._upkeep = Upkeep(self._writer, clock, opened.loaded.base)
        self._reads = BlockingCalls("store-read", threads=1)
        self._feed = Feed(self._read_history)
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_for_ever, name="store-write", daemon=True)
        self._thread.start()

    async def newest_revision(self) -> int:
        return self._revision

    async def get(self, key: str) -> Record | None:
        if key not in self._current:
            return None  # also while its deletion is being committed: nothing promises the older answer
        return await self._reads.call(sqlite_files.read_one, self._reader, key)

    async def list(
        self, prefix: str, *, at_revision: int | None = None, after_key: str = "", limit: int = 0
    ) -> Listing:
        revision = self._revision if at_revision is None else at_revision
        if revision > self._revision:
            raise FutureRevision
        return await self._reads.call(sqlite_files.read_snapshot, self._reader, prefix, revision, after_key, limit)

    async def commit(self, operations: Sequence[Operation], expectations: Mapping[str, int]) -> int:
        check_operations(operations)
        self._check_open()
        current = self._current
        for key, expected in expectations.items():
            if current.get(key, 0) >> PLACE_BITS != expected:
                return await self._refuse(key)
        for one in operations:
            if one.key not in current and isinstance(one, Delete):
                return await self._refuse(one.key)
        self._assigned = revision = self._assigned + 1
        rows: list[Written] = []
        for place, one in enumerate(operations, revision << PLACE_BITS):
            if isinstance(one, Put):
                rows.append((place, one.key, current.get(one.key, 0), one.value))
                current[one.key] = place
            else:
                rows.append((place, one.key, current.pop(one.key), None))
        return await self._enqueue(Commit(self._epoch, self._loop.create_future(), revision, rows))

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Batch]:
        return self._feed.follow(prefix, from_revision)

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision
        await self._enqueue(Compaction(self._epoch, self._loop.create_future(), revision))

    async def backup(self, path: Path) -> None:
        """Copy the store to `path` as of some moment during the call, verified; writes go on meanwhile.

        Raises `StoreFailed`, and leaves what was at `path` then.
        """
        try:
            temporary = beginning_of(path)
            try:
                await self._enqueue(Backup(self._epoch, self._loop.create_future(), temporary))
                await asyncio.to_thread(finish, temporary, path)
            finally:
                discard(temporary)
        except (sqlite3.Error, OSError, Damaged) as exc:
            raise StoreFailed(f"cannot back up the store to '{path}': {exc}") from exc

    async def close(self) -> None:
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._feed.close()
        self._reads.close()
        self._reader.close()
        self._writer.close()
        self._witness.close()

    async def _refuse(self, key: str) -> int:
        """Raise the mismatch, after everything it was decided against has been committed."""
        return await self._enqueue(Mismatch(self._epoch, self._loop.create_future(), key))

    def _check_open(self) -> None:
        if self._closing:
            raise StoreFailed("the store is closing")

    async def _enqueue(self, item: Waiting) -> int:
        self._check_open()
        self._queue.put(item)
        return await item.future

    async def _read_history(self, prefix: str, after: int, limit: int) -> tuple[Batch, bool]:
        # The file may hold a commit that the loop has not been told of: that one comes when it is published.
        through = self._revision
        if after > through:
            raise FutureRevision
        return await self._reads.call(sqlite_files.read_changes, self._reader, prefix, after, through, limit)

    # What follows runs in the writer thread, but for the two methods that report on the loop.

    def _write_for_ever(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=self._upkeep.next_in_s())
            except Empty:
                with contextlib.suppress(sqlite3.Error):  # the next write meets the same trouble and reports it
                    self._upkeep.when_idle()
                continue
            if not self._commit_waiting(first):
                with contextlib.suppress(sqlite3.Error):
                    self._upkeep.before_close()
                return

    def _commit_waiting(self, first: Waiting | None) -> bool:
        """Commit `first` and what waits behind it; False once the store's end was among it."""
        batch: list[Waiting] = []
        item = first
        with contextlib.suppress(Empty):
            while item is not None:
                batch.append(item)
                if len(batch) == _BATCH_MAX:
                    break
                item = self._queue.get_nowait()
        stale = [one for one in batch if one.epoch != self._epoch]
        if stale:
            self._report(self._failed, stale, StoreFailed("an earlier write could not be made durable"))
        if current := [one for one in batch if one.epoch == self._epoch]:
            self._commit(current)
        return item is not None

    def _commit(self, batch: Sequence[Waiting]) -> None:
        commits = [item for item in batch if isinstance(item, Commit)]
        try:
            committed = self._made_durable(commits) if commits else None
            mismatches = [(item, self._mismatch(item)) for item in batch if isinstance(item, Mismatch)]
        except sqlite3.Error as exc:
            self._recover(batch, exc)
            return
        if committed or mismatches:
            self._report(self._committed, commits, committed, mismatches)
        try:
            self._upkeep.after_commit(commits)
            for item in batch:
                if isinstance(item, Compaction):
                    self._upkeep.compact(item.revision, between=self._commit_what_waits)
                    self._report(self._done, item)
                elif isinstance(item, Backup):
                    sqlite_files.back_up(self._writer, item.path, between=self._commit_what_waits)
                    self._report(self._done, item)
        except sqlite3.Error as exc:
            orders = [item for item in batch if isinstance(item, Compaction | Backup)]
            self._report(self._failed, orders, StoreFailed(f"cannot keep the store in order: {exc}"))

    def _made_durable(self, commits: Sequence[Commit]) -> Batch:
        committed, self._chain = sqlite_files.commit(self._writer, commits, self._chain)
        # Before anybody is told: what somebody has heard of cannot be lost without being missed.
        self._witness.note(committed.revision, self._chain)
        return committed

    def _commit_what_waits(self) -> None:
        """Let writers in between the steps of something long. The end of the store waits for that to finish."""
        if self._queue.empty():
            return
        first = self._queue.get()
        if first is None or not self._commit_waiting(first):
            self._queue.put(None)

    def _mismatch(self, item: Mismatch) -> RevisionMismatch:
        return RevisionMismatch(item.key, sqlite_files.read_one(self._writer, item.key))

    def _recover(self, batch: Sequence[Waiting], exc: sqlite3.Error) -> None:
        """Fail the batch and everything decided since, and start again from what is on disk."""
        with contextlib.suppress(sqlite3.Error):
            self._writer.rollback()
        found = reload(self._writer)
        self._chain = found.chain
        done = threading.Event()

        def reset() -> None:
            self._assigned, self._current = found.newest, found.current
            self._epoch += 1
            self._failed(batch, StoreFailed(f"cannot commit: {exc}"))
            done.set()

        if self._report(reset):
            done.wait()

    def _report(self, method: Callable[..., None], *args: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(method, *args)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return False
        return True

    def _committed(
        self,
        commits: Sequence[Commit],
        committed: Batch | None,
        mismatches: Sequence[tuple[Mismatch, RevisionMismatch]],
    ) -> None:
        if committed is not None:
            self._revision = committed.revision
            self._feed.publish(committed)
        for one in commits:
            if not one.future.done():
                one.future.set_result(one.revision)
        for item, mismatch in mismatches:
            if not item.future.done():
                item.future.set_exception(mismatch)

    def _done(self, item: Waiting) -> None:
        if not item.future.done():
            item.future.set_result(self._revision)

    def _failed(self, batch: Sequence[Waiting], error: StoreFailed) -> None:
        for item in batch:
            if not item.future.done():
                item.future.set_exception(error)


async def open_sqlite(path: Path, *, clock: Clock) -> SqliteStore:
    """Open or create the store's file, with its history as the last process left it. Raises `Unusable`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(path, clock=clock)
