"""The embedded store's file: its tables, and every statement that touches them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Histogram

from orchestrator.store.base import Batch, Change, Compacted, Listing, Record
from orchestrator.store.chain import checksum_of, is_whole, link_of
from orchestrator.store.history import cut
from orchestrator.store.sqlite_format import PLACE_BITS, Row, last_place
from orchestrator.store.sqlite_verify import Damaged

COMMIT_SECONDS = Histogram(
    "wherry_store_commit_duration_seconds",
    "How long making one batch of writes durable took.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
)
COMMIT_WRITES = Histogram(
    "wherry_store_commit_writes", "How many writes shared one commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)

# Each statement of several rows runs without giving the interpreter lock away in between, which under load costs more
# than the insert; few sizes, so that every statement stays prepared.
_ROWS_AT_ONCE = (64, 16, 4, 1)
_INSERTS = {count: "INSERT INTO changes VALUES " + ",".join(["(?,?,?,?,?,?)"] * count) for count in _ROWS_AT_ONCE}
_BACKUP_PAGES = 256
_LOG_PAGES_MAX = 4_096  # of 4 KiB


@dataclass(slots=True)
class Waiting:
    """Something that waits for the writer thread. `epoch` counts failed commits: older decisions are void."""

    epoch: int
    future: asyncio.Future[int]


#: What a commit decides of a row: place, key, place of what it replaces, value.
Written = tuple[int, str, int, bytes | None]


@dataclass(slots=True)
class Commit(Waiting):
    """One numbered commit."""

    revision: int
    rows: Sequence[Written]


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


def open_writer(path: Path, kind: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """The one connection that writes and checkpoints: SQLite before 3.51.3 can corrupt a log that two of them touch."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, factory=kind)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    # Checkpoints come in quiet moments; under steady load, this bounds the log, and a restart's time to read it.
    db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES_MAX}")
    db.execute("PRAGMA cache_size=-8192")
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("PRAGMA query_only=1")
    db.execute("PRAGMA cache_size=-4096")
    return db


@COMMIT_SECONDS.time()
def commit(db: sqlite3.Connection, commits: Sequence[Commit], chain: int) -> tuple[Batch, int]:
    """Make the commits durable in one transaction; returns them, in revision order, and what the chain has become."""
    rows: list[Row] = []
    for one in commits:
        for place, key, previous, value in one.rows:
            checksum = checksum_of(place, key, previous, value)
            chain = link_of(chain, place, checksum)
            rows.append((place, key, previous, checksum, chain, value))
    db.execute("BEGIN IMMEDIATE")
    start = 0
    for count in _ROWS_AT_ONCE:
        while len(rows) - start >= count:
            flat = [value for row in rows[start : start + count] for value in row]
            db.execute(_INSERTS[count], flat)
            start += count
    db.execute("COMMIT")
    COMMIT_WRITES.observe(len(rows))
    changes = [Change(row[1], row[5], row[0] >> PLACE_BITS) for row in rows]
    return Batch(changes, commits[-1].revision), chain


def read_one(db: sqlite3.Connection, key: str) -> Record | None:
    """The newest committed record of one key. Raises `Damaged`."""
    row = db.execute(
        "SELECT place, key, previous, checksum, value FROM changes WHERE key = ? ORDER BY place DESC LIMIT 1", (key,)
    ).fetchone()
    return Record(key, value, row[0] >> PLACE_BITS) if row and (value := _checked(*row)) is not None else None


def read_snapshot(db: sqlite3.Connection, prefix: str, revision: int, after_key: str, limit: int) -> Listing:
    """Records below a prefix as of a revision. Raises `Compacted` or `Damaged`."""
    db.execute("BEGIN")  # so that no compaction comes between the check and the reading
    try:
        _check_kept(db, revision)
        start, operator = (after_key, ">") if after_key >= prefix else (prefix, ">=")
        rows = db.execute(
            "SELECT max(place), key, previous, checksum, value FROM changes"
            f" WHERE key {operator} ? AND key < ? AND place <= ?"
            " GROUP BY key HAVING value IS NOT NULL ORDER BY key LIMIT ?",
            (start, _end_of(prefix), last_place(revision), limit + 1 if limit else -1),
        ).fetchall()
    finally:
        db.execute("COMMIT")
    more = bool(limit) and len(rows) > limit
    records = tuple(
        Record(row[1], value, row[0] >> PLACE_BITS)
        for row in (rows[:limit] if more else rows)
        if (value := _checked(*row)) is not None
    )
    return Listing(records, revision, more)


def read_changes(db: sqlite3.Connection, prefix: str, after: int, through: int, limit: int) -> tuple[Batch, bool]:
    """Changes below a prefix after one revision up to another: see `ReadHistory`. Raises `Compacted` or `Damaged`."""
    db.execute("BEGIN")
    try:
        _check_kept(db, after)
        rows = db.execute(
            "SELECT place, key, previous, checksum, value FROM changes"
            " WHERE place > ? AND place <= ? AND key >= ? AND key < ? ORDER BY place LIMIT ?",
            (last_place(after), last_place(through), prefix, _end_of(prefix), limit),
        ).fetchall()
    finally:
        db.execute("COMMIT")
    return cut([Change(row[1], _checked(*row), row[0] >> PLACE_BITS) for row in rows], limit, through)


def _checked(place: int, key: str, previous: int, checksum: int, value: bytes | None) -> bytes | None:
    """The value, which is what was written."""
    if not is_whole(place, key, previous, checksum, value):
        raise Damaged(f"the record '{key}' of revision {place >> PLACE_BITS} is not what was written")
    return value


def back_up(db: sqlite3.Connection, path: Path, *, between: Callable[[], None]) -> None:
    """Copy the database step by step; what `between` commits on the same connection is copied too."""
    target = sqlite3.connect(path)
    try:
        db.backup(target, pages=_BACKUP_PAGES, progress=lambda *_: between(), sleep=0)
    finally:
        target.close()


def _check_kept(db: sqlite3.Connection, revision: int) -> None:
    (compacted,) = db.execute("SELECT compacted FROM store").fetchone()
    if revision < compacted:
        raise Compacted(revision, compacted)


def _end_of(prefix: str) -> str:
    """A string above every key with this prefix; SQLite compares UTF-8 bytes, and no key holds the last code point."""
    return prefix + "\U0010ffff"
