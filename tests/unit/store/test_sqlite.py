"""What only the embedded store promises: durability, restarts, backups, a bounded history."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.machinery.clock import SystemClock
from orchestrator.store.base import Compacted, RevisionMismatch, StoreFailed
from orchestrator.store.history import READ_MAX
from orchestrator.store.sqlite import SqliteStore, open_sqlite
from orchestrator.store.sqlite_upkeep import HISTORY_S


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


async def test_a_restart_keeps_records_revisions_and_history(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    first = await store.put("/a", b"1", expect_revision=0)
    await store.put("/a", b"2", expect_revision=first)
    last = await store.delete("/a", expect_revision=None)
    await store.close()

    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    assert await store.newest_revision() == last
    assert await store.get("/a") is None
    assert [record.value for record in (await store.list("/", at_revision=first)).records] == [b"1"]
    assert await store.put("/a", b"3", expect_revision=0) == last + 1
    await store.close()


async def test_revisions_go_on_after_a_compacted_deletion_and_a_restart(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    await store.put("/a", b"1", expect_revision=0)
    last = await store.delete("/a", expect_revision=None)
    await store.compact(last)
    await store.close()
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    assert await store.newest_revision() == last
    assert await store.put("/a", b"1", expect_revision=0) == last + 1
    await store.close()


async def test_a_storm_survives_sigkill_with_every_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.storm", str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged: dict[str, int] = {}
    async with asyncio.timeout(60):
        while len(acknowledged) < 1500:
            key, revision = (await process.stdout.readline()).decode().split()
            acknowledged[key] = int(revision)
        process.send_signal(signal.SIGKILL)
        for line in (await process.stdout.read()).decode().splitlines(keepends=True):
            if line.endswith("\n"):
                key, revision = line.split()
                acknowledged[key] = int(revision)
        await process.wait()

    store = await open_sqlite(path, clock=SystemClock())
    found = {record.key: record for record in (await store.list("/storm/")).records}
    await store.close()
    missing = {key for key, revision in acknowledged.items() if key not in found or found[key].revision != revision}
    assert missing == set()
    assert all(record.value == f"value of {key}".encode() for key, record in found.items())


class TellsLate(SqliteStore):
    """Its writer thread can be held up between a commit and telling of it."""

    def __init__(self, path: Path) -> None:
        self.is_on_disk, self.may_tell = threading.Event(), threading.Event()
        self.may_tell.set()
        super().__init__(path, clock=SystemClock())

    def _report(self, method: Callable[..., None], *args: object) -> bool:
        self.is_on_disk.set()
        self.may_tell.wait(20)
        return super()._report(method, *args)


async def test_a_watch_that_catches_up_does_not_run_ahead_of_what_is_acknowledged(tmp_path: Path) -> None:
    store = TellsLate(tmp_path / "s.db")
    await asyncio.gather(*(store.put(f"/{number}", b"v", expect_revision=0) for number in range(READ_MAX - 1)))
    store.is_on_disk.clear()
    store.may_tell.clear()
    async with (
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
        aclosing(store.watch("/", from_revision=0)) as batches,  # type: ignore[type-var]
    ):
        writing = group.create_task(store.put("/last", b"v", expect_revision=0), name="writer")
        await asyncio.to_thread(store.is_on_disk.wait, 20)
        seen = list((await anext(batches)).changes)
        assert seen[-1].revision == await store.newest_revision() == READ_MAX - 1
        store.may_tell.set()
        seen += (await anext(batches)).changes
        assert seen[-1].revision == await writing
    assert [change.revision for change in seen] == list(range(1, READ_MAX + 1))
    await store.close()


async def test_a_commit_that_fails_takes_back_what_was_decided_on_it(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    kept = await store.put("/kept", b"1", expect_revision=0)
    store._writer.execute("PRAGMA max_page_count = 6")  # a full disk
    results = await asyncio.gather(
        store.put("/kept", b"x" * 50_000, expect_revision=kept),
        store.put("/new", b"2", expect_revision=0),
        return_exceptions=True,
    )
    assert all(isinstance(result, StoreFailed) for result in results)
    store._writer.execute("PRAGMA max_page_count = 100000")
    assert await store.newest_revision() == kept
    with pytest.raises(RevisionMismatch) as mismatch:
        await store.put("/kept", b"3", expect_revision=0)
    assert mismatch.value.actual is not None
    assert mismatch.value.actual.value == b"1"
    assert await store.put("/new", b"3", expect_revision=0) == kept + 1
    await store.close()


class BreaksDown(sqlite3.Connection):
    """A connection to a disk that can stop working."""

    #: What fails from now on: statements that begin like this.
    broken: tuple[str, ...] = ()

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql.startswith(self.broken) and self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *args)


def a_store_that_breaks_down(folder: Path) -> tuple[SqliteStore, BreaksDown]:
    store = SqliteStore(folder / "s.db", clock=SystemClock(), connection=BreaksDown)
    assert isinstance(store._writer, BreaksDown)
    return store, store._writer


async def test_the_writer_thread_never_dies_silently(tmp_path: Path) -> None:
    store, connection = a_store_that_breaks_down(tmp_path)
    first = await store.put("/a", b"1", expect_revision=0)
    assert store.failure() is None
    connection.broken = ("BEGIN", "SELECT")  # the commit fails, and so does reading back what is there
    async with asyncio.timeout(20):
        results = await asyncio.gather(
            *(store.put(f"/{number}", b"x", expect_revision=None) for number in range(50)),
            store.compact(first),
            store.put("/a", b"2", expect_revision=7),
            return_exceptions=True,
        )
        assert all(isinstance(result, StoreFailed) for result in results)
        with pytest.raises(StoreFailed, match="disk I/O error"):
            await store.wait_failed()
    connection.broken = ()
    with pytest.raises(StoreFailed, match="the store can write no more"):
        await store.put("/later", b"x", expect_revision=None)
    assert "disk I/O error" in (store.failure() or "")
    assert await store.get("/a") is not None, "reading goes on"
    async with asyncio.timeout(20):
        await store.close()
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    assert [record.key for record in (await store.list("/")).records] == ["/a"]
    await store.close()


async def test_what_a_failing_disk_takes_is_given_back_when_it_works_again(tmp_path: Path) -> None:
    store, connection = a_store_that_breaks_down(tmp_path)
    first = await store.put("/a", b"1", expect_revision=0)
    connection.broken = ("COMMIT",)
    with pytest.raises(StoreFailed, match="cannot commit: disk I/O error"):
        await store.put("/a", b"2", expect_revision=first)
    connection.broken = ()
    assert store.failure() is None
    assert await store.put("/a", b"2", expect_revision=first) == first + 1
    await store.close()


# In a process of its own, whose files may not grow: every write beyond the limit is a real I/O error.
_ON_A_FULL_DISK = """
import asyncio, os, resource, sys
from pathlib import Path
from orchestrator.machinery.clock import SystemClock
from orchestrator.store.base import StoreFailed
from orchestrator.store.sqlite import open_sqlite

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main(path):
    store = await open_sqlite(path, clock=SystemClock())
    first = await store.put("/a", b"1", expect_revision=0)
    limit(64 << 10)
    try:
        await store.put("/a", b"x" * 500_000, expect_revision=first)
    except StoreFailed as exc:
        print("refused:", exc, "then", store.failure())
    limit(resource.RLIM_INFINITY)
    second = await store.put("/a", b"2", expect_revision=first)
    print("went on:", second - first)
    # A disk from which nothing can be read back any more, either: the commit fails, and so does going on from there.
    await store.compact(second)
    store._writer.execute("PRAGMA shrink_memory")
    limit(1)
    for name in (path, Path(str(path) + "-wal")):
        os.truncate(name, 0)
    results = await asyncio.gather(*(store.put(f"/{n}", b"y" * 9000, expect_revision=0) for n in range(9)),
                                   return_exceptions=True)
    print("failed:", {type(result).__name__ for result in results})
    try:
        await asyncio.wait_for(store.wait_failed(), 20)
    except StoreFailed:
        print("ended:", store.failure() is not None)
    await store.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_disk_that_really_fails_is_survived_or_ends_the_store_and_never_hangs_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path / "s.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = [
        line for line in done.stdout.splitlines() if line.split(":")[0] in ("refused", "went on", "failed", "ended")
    ]
    assert lines[1:] == ["went on: 1", "failed: {'StoreFailed'}", "ended: True"], done.stdout + done.stderr
    assert re.fullmatch(r"refused: cannot commit: .* then None", lines[0])


class CommitsAllTheSame(BreaksDown):
    """Its commits are on disk though they are said to have failed."""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        done = super().execute(sql, *args)
        if sql == "COMMIT" and self.lies:
            raise sqlite3.OperationalError("disk I/O error")
        return done

    lies = False


async def test_a_commit_that_failed_and_is_there_all_the_same_ends_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", clock=SystemClock(), connection=CommitsAllTheSame)
    assert isinstance(store._writer, CommitsAllTheSame)
    store._writer.lies = True
    with pytest.raises(StoreFailed, match="is on disk all the same"):
        await store.put("/a", b"1", expect_revision=0)
    await store.close()


async def test_writes_are_told_of_though_a_refusal_beside_them_cannot_be_read(tmp_path: Path) -> None:
    store, connection = a_store_that_breaks_down(tmp_path)
    await store.put("/a", b"1", expect_revision=0)
    connection.broken = ("SELECT place, key",)
    async with asyncio.timeout(20), aclosing(store.watch("/", from_revision=1)) as batches:  # type: ignore[type-var]
        written, refused = await asyncio.gather(
            store.put("/b", b"1", expect_revision=0), store.put("/a", b"2", expect_revision=0), return_exceptions=True
        )
        assert isinstance(refused, StoreFailed)
        assert (await anext(batches)).revision == written
    await store.close()


async def test_a_commit_that_hangs_shows_in_the_store_s_health(tmp_path: Path) -> None:
    clock = HandClock()
    store = SqliteStore(tmp_path / "s.db", clock=clock, connection=Hangs)
    Hangs.may_go_on.clear()
    Hangs.hangs.clear()
    writing = asyncio.ensure_future(store.put("/a", b"1", expect_revision=0))
    await asyncio.to_thread(Hangs.hangs.wait, 20)
    assert store.failure() is None
    clock.at += 60
    assert store.failure() == "one commit has taken 60 s so far"
    Hangs.may_go_on.set()
    await writing
    assert store.failure() is None
    await store.close()


class Hangs(sqlite3.Connection):
    """Its commits wait until they may go on."""

    hangs = threading.Event()
    may_go_on = threading.Event()
    may_go_on.set()

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and not self.may_go_on.is_set():
            self.hangs.set()
            self.may_go_on.wait(20)
        return super().execute(sql, *args)


async def test_history_older_than_five_minutes_goes_by_itself(tmp_path: Path) -> None:
    clock = HandClock()
    store = await open_sqlite(tmp_path / "s.db", clock=clock)
    revision = await store.put("/a", b"0", expect_revision=0)
    for number in range(20):
        revision = await store.put("/a", b"%d" % number, expect_revision=revision)
    old = revision
    # Upkeep reads the clock after a write is acknowledged: let it, before time goes on.
    await store.compact(0)
    clock.at += HISTORY_S + 1
    await store.put("/b", b"1", expect_revision=0)
    await store.compact(0)
    clock.at += HISTORY_S + 1
    await store.put("/b", b"2", expect_revision=None)
    await store.compact(0)  # waits its turn behind the upkeep of the last commit
    with pytest.raises(Compacted):
        await store.list("/", at_revision=old - 1)
    await store.close()
    rows = sqlite3.connect(tmp_path / "s.db").execute("SELECT key, value FROM changes ORDER BY place").fetchall()
    assert rows == [("/a", b"19"), ("/b", b"1"), ("/b", b"2")]


async def test_a_backup_taken_among_writes_is_a_whole_store(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())
    for number in range(50):
        await store.put(f"/before/{number}", b"x" * 5000, expect_revision=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(store.backup(tmp_path / "copy.db"))
        for number in range(50):
            await store.put(f"/during/{number}", b"x" * 5000, expect_revision=0)
    await store.close()
    copy = await open_sqlite(tmp_path / "copy.db", clock=SystemClock())
    assert len((await copy.list("/before/")).records) == 50
    during = [record.key for record in (await copy.list("/during/")).records]
    assert sorted(during) == sorted(f"/during/{number}" for number in range(len(during)))
    await copy.close()


async def test_the_log_stays_small_under_writers_that_never_pause(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "s.db", clock=SystemClock())

    async def write(writer: int) -> None:
        for number in range(2_500):
            await store.put(f"/{writer}/{number}", b"x" * 600, expect_revision=0)

    await asyncio.gather(*(write(writer) for writer in range(8)))
    log_bytes = (tmp_path / "s.db-wal").stat().st_size
    await store.close()
    assert log_bytes < 24 << 20  # these writes fill some 130 MiB of it
