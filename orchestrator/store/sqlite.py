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
from orchestrator.machinery.log import get_logger
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
from orchestrator.store.sqlite_files import Backup, Commit, Compaction, Mismatch, Waiting, Written, read_one
from orchestrator.store.sqlite_format import PLACE_BITS
from orchestrator.store.sqlite_open import open_file
from orchestrator.store.sqlite_upkeep import Upkeep
from orchestrator.store.sqlite_verify import Damaged, reload

logger = get_logger(__name__)

# Bounds the time one commit takes and the memory it needs; a larger share of one fsync would gain nothing.
_BATCH_MAX = 512
# A commit takes milliseconds, on a disk that is busy a second: this is one that hangs.
_SLOW_S = 15.0


class SqliteStore(Store):
    """See `Store`. Make it with `open_sqlite`; one process may have the file open."""

    def __init__(self, path: Path, *, clock: Clock, connection: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        """Open or make the file, written through a `connection`. Raises `Unusable`."""
        opened = open_file(path, connection)
        self._clock = clock
        self._writer, self._witness = opened.db, opened.witness
        self._reader = sqlite_files.open_reader(path)
        self._chain, self._current = opened.loaded.chain, opened.loaded.current
        self._revision = self._assigned = self._durable = opened.loaded.newest
        self._epoch = 0
        self._closing = False
        self._upkeep = Upkeep(self._writer, clock, opened.loaded.base)
        self._reads = BlockingCalls("store-read", threads=1)
        self._feed = Feed(self._read_history)
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[int]] = set()
        self._committing_since: float | None = None
        self._failure: str | None = None
        self._failed_for_good = asyncio.Event()
        self._thread = threading.Thread(target=self._write_for_ever, name="store-write", daemon=True)
        self._thread.start()

    async def newest_revision(self) -> int:
        return self._revision

    async def get(self, key: str) -> Record | None:
        if key not in self._current:
            return None  # also while its deletion is being committed: nothing promises the older answer
        return await self._reads.call(read_one, self._reader, key)

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

    def failure(self) -> str | None:
        if self._failure is not None:
            return self._failure
        since = self._committing_since
        busy_s = self._clock.monotonic() - since if since is not None else 0.0
        return f"one commit has taken {busy_s:.0f} s so far" if busy_s > _SLOW_S else None

    async def wait_failed(self) -> None:
        await self._failed_for_good.wait()
        raise StoreFailed(self._failure)

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
        with contextlib.suppress(sqlite3.Error):  # what was acknowledged is on disk; more cannot be done for it
            self._writer.close()
        self._witness.close()

    async def _refuse(self, key: str) -> int:
        """Raise the mismatch, after everything it was decided against has been committed."""
        return await self._enqueue(Mismatch(self._epoch, self._loop.create_future(), key))

    def _check_open(self) -> None:
        if self._failure is not None:
            raise StoreFailed(self._failure)
        if self._closing:
            raise StoreFailed("the store is closing")

    async def _enqueue(self, item: Waiting) -> int:
        self._check_open()
        self._waiting.add(item.future)
        self._queue.put(item)
        try:
            return await item.future
        finally:
            self._waiting.discard(item.future)

    async def _read_history(self, prefix: str, after: int, limit: int) -> tuple[Batch, bool]:
        # The file may hold a commit that the loop has not been told of: that one comes when it is published.
        through = self._revision
        if after > through:
            raise FutureRevision
        return await self._reads.call(sqlite_files.read_changes, self._reader, prefix, after, through, limit)

    # What follows runs in the writer thread, but for the methods that report on the loop.

    def _write_for_ever(self) -> None:
        """The thread. Whatever escapes the writing ends it, and with it everything that waits or comes later."""
        try:
            self._write()
        except Exception as exc:
            logger.exception("store.failed")
            self._failure = f"the store can write no more: {exc}"
            self._report(self._fail_all)

    def _write(self) -> None:
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
        if commits:
            try:
                committed = self._made_durable(commits)
            except sqlite3.Error as exc:
                self._recover(batch, exc)
                return
            self._report(self._committed, commits, committed)
        for item in batch:
            if isinstance(item, Mismatch):
                self._report(self._refused, item, RevisionMismatch(item.key, read_one(self._writer, item.key)))
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
        self._committing_since = self._clock.monotonic()
        try:
            committed, self._chain = sqlite_files.commit(self._writer, commits, self._chain)
        finally:
            self._committing_since = None
        self._durable = committed.revision
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

    def _recover(self, batch: Sequence[Waiting], exc: sqlite3.Error) -> None:
        """Fail the batch and everything decided since, and start again from what is on disk."""
        with contextlib.suppress(sqlite3.Error):
            self._writer.rollback()
        found = reload(self._writer)
        if found.newest != self._durable:
            # Followers have not heard of what is there, and writers are told otherwise: only a restart mends that.
            raise StoreFailed(f"a commit that failed is on disk all the same: {exc}") from exc
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

    def _committed(self, commits: Sequence[Commit], committed: Batch) -> None:
        self._revision = committed.revision
        self._feed.publish(committed)
        for one in commits:
            if not one.future.done():
                one.future.set_result(one.revision)

    def _refused(self, item: Waiting, mismatch: RevisionMismatch) -> None:
        if not item.future.done():
            item.future.set_exception(mismatch)

    def _fail_all(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(StoreFailed(self._failure))
        self._failed_for_good.set()

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
