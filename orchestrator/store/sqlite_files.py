"""The embedded store's file: its tables, and every statement that touches them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Histogram

from orchestrator.store.base import OPERATIONS_MAX, Batch, Change, Compacted, Listing, Record
from orchestrator.store.history import cut

COMMIT_SECONDS = Histogram(
    "wherry_store_commit_duration_seconds",
    "How long making one batch of writes durable took.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
)
COMMIT_WRITES = Histogram(
    "wherry_store_commit_writes", "How many writes shared one commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)

# A row is one change, at its place in the order of all: the commit's revision, and its number within the commit.
# `previous` is the place of the change it replaced, 0 if there was none; `value` is NULL for a deletion.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (
    place INTEGER PRIMARY KEY, key TEXT NOT NULL, previous INTEGER NOT NULL, value BLOB
);
CREATE INDEX IF NOT EXISTS changes_by_key ON changes (key, place);
CREATE TABLE IF NOT EXISTS compacted (revision INTEGER NOT NULL);
INSERT INTO compacted SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM compacted);
"""
#: A place is a revision shifted by this; twice what a commit may hold.
PLACE_BITS = 8
_NUMBERS = (1 << PLACE_BITS) - 1
assert OPERATIONS_MAX <= _NUMBERS

# Each statement of several rows runs without giving the interpreter lock away in between, which under load costs more
# than the insert; few sizes, so that every statement stays prepared.
_ROWS_AT_ONCE = (64, 16, 4, 1)
_INSERTS = {count: "INSERT INTO changes VALUES " + ",".join(["(?,?,?,?)"] * count) for count in _ROWS_AT_ONCE}
_BACKUP_PAGES = 256
_LOG_PAGES_MAX = 4_096  # of 4 KiB


@dataclass(slots=True)
class Waiting:
    """Something that waits for the writer thread. `epoch` counts failed commits: older decisions are void."""

    epoch: int
    future: asyncio.Future[int]


#: Place, key, place of what it replaces, value.
Row = tuple[int, str, int, bytes | None]


@dataclass(slots=True)
class Commit(Waiting):
    """One numbered commit."""

    revision: int
    rows: Sequence[Row]


@dataclass(slots=True)
class Mismatch(Waiting):
    """A refused write, waiting to be told what is there."""

    key: str


@dataclass(slots=True)
class Compaction(Waiting):
    revision: int


@dataclass(slots=True)
class Backup(Waiting):
    path: Path


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes and checkpoints: SQLite before 3.51.3 can corrupt a log that two of them touch."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    # Checkpoints come in quiet moments; under steady load, this bounds the log, and a restart's time to read it.
    db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES_MAX}")
    db.execute("PRAGMA cache_size=-8192")
    db.executescript(_SCHEMA)
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("PRAGMA query_only=1")
    db.execute("PRAGMA cache_size=-4096")
    return db


def load(db: sqlite3.Connection) -> tuple[int, int, dict[str, int]]:
    """The compacted revision, the newest revision, and the place of every key that exists."""
    (compacted,) = db.execute("SELECT revision FROM compacted").fetchone()
    (newest,) = db.execute("SELECT coalesce(max(place), 0) FROM changes").fetchone()
    rows = db.execute("SELECT key, max(place), value IS NULL FROM changes GROUP BY key")
    return compacted, max(compacted, newest >> PLACE_BITS), {key: place for key, place, gone in rows if not gone}


@COMMIT_SECONDS.time()
def commit(db: sqlite3.Connection, commits: Sequence[Commit]) -> Batch:
    """Make the commits durable in one transaction; returns them as changes, in revision order."""
    rows = [row for one in commits for row in one.rows]
    db.execute("BEGIN IMMEDIATE")
    start = 0
    for count in _ROWS_AT_ONCE:
        while len(rows) - start >= count:
            flat = [value for row in rows[start : start + count] for value in row]
            db.execute(_INSERTS[count], flat)
            start += count
    db.execute("COMMIT")
    COMMIT_WRITES.observe(len(rows))
    changes = [Change(key, value, place >> PLACE_BITS) for place, key, _, value in rows]
    return Batch(changes, commits[-1].revision)


def read_one(db: sqlite3.Connection, key: str) -> Record | None:
    """The newest committed record of one key."""
    row = db.execute("SELECT place, value FROM changes WHERE key = ? ORDER BY place DESC LIMIT 1", (key,)).fetchone()
    return Record(key, row[1], row[0] >> PLACE_BITS) if row and row[1] is not None else None


def read_snapshot(db: sqlite3.Connection, prefix: str, revision: int, after_key: str, limit: int) -> Listing:
    """Records below a prefix as of a revision. Raises `Compacted`."""
    db.execute("BEGIN")  # so that no compaction comes between the check and the reading
    try:
        _check_kept(db, revision)
        start, operator = (after_key, ">") if after_key >= prefix else (prefix, ">=")
        rows = db.execute(
            f"SELECT key, value, max(place) FROM changes WHERE key {operator} ? AND key < ? AND place <= ?"
            " GROUP BY key HAVING value IS NOT NULL ORDER BY key LIMIT ?",
            (start, _end_of(prefix), last_place(revision), limit + 1 if limit else -1),
        ).fetchall()
    finally:
        db.execute("COMMIT")
    more = bool(limit) and len(rows) > limit
    chosen = rows[:limit] if more else rows
    return Listing(tuple(Record(key, value, place >> PLACE_BITS) for key, value, place in chosen), revision, more)


def read_changes(db: sqlite3.Connection, prefix: str, after: int, through: int, limit: int) -> tuple[Batch, bool]:
    """Changes below a prefix after one revision and up to another: see `ReadHistory`. Raises `Compacted`."""
    db.execute("BEGIN")
    try:
        _check_kept(db, after)
        rows = db.execute(
            "SELECT key, value, place FROM changes"
            " WHERE place > ? AND place <= ? AND key >= ? AND key < ? ORDER BY place LIMIT ?",
            (last_place(after), last_place(through), prefix, _end_of(prefix), limit),
        ).fetchall()
    finally:
        db.execute("COMMIT")
    return cut([Change(key, value, place >> PLACE_BITS) for key, value, place in rows], limit, through)


def last_place(revision: int) -> int:
    """The highest place that a revision's changes may have."""
    return revision << PLACE_BITS | _NUMBERS


def back_up(db: sqlite3.Connection, path: Path, *, between: Callable[[], None]) -> None:
    """Copy the database step by step; what `between` commits on the same connection is copied too."""
    target = sqlite3.connect(path)
    try:
        db.backup(target, pages=_BACKUP_PAGES, progress=lambda *_: between(), sleep=0)
    finally:
        target.close()


def _check_kept(db: sqlite3.Connection, revision: int) -> None:
    (compacted,) = db.execute("SELECT revision FROM compacted").fetchone()
    if revision < compacted:
        raise Compacted(revision, compacted)


def _end_of(prefix: str) -> str:
    """A string above every key with this prefix; SQLite compares UTF-8 bytes, and no key holds the last code point."""
    return prefix + "\U0010ffff"
