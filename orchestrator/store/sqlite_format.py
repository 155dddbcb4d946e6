"""The embedded store's file format: its tables, how a file is made, and how an older release's becomes one of ours.

Format 1 had a table `history` of one change a revision, without checksums.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass, replace

from orchestrator.store.base import OPERATIONS_MAX
from orchestrator.store.chain import checksum_of, link_of

#: "WHRY", in the header of every file of ours.
APPLICATION_ID = 0x57485259
FORMAT = 2
#: A place is a revision shifted by this; twice what a commit may hold.
PLACE_BITS = 8
_NUMBERS = (1 << PLACE_BITS) - 1
assert OPERATIONS_MAX <= _NUMBERS
_UPGRADE_ROWS = 1000

# A row is one change, at its place in the order of all: the commit's revision, and its number within the commit.
# `previous` is the place of the change it replaced, 0 if there was none; `value` is NULL for a deletion, and comes last
# so that what is before it can be read without it.
#
# `store` has one row. Up to the revision `compacted` only the values that were current there are kept; `chain` is the
# chain's value at that revision, `kept` how many changes up to it are left, and `kept_sum` the sum of their checksums.
_TABLES = """
CREATE TABLE changes (
    place INTEGER PRIMARY KEY, key TEXT NOT NULL, previous INTEGER NOT NULL,
    checksum INTEGER NOT NULL, chain INTEGER NOT NULL, value BLOB
) STRICT;
CREATE INDEX changes_by_key ON changes (key, place);
CREATE TABLE store (
    cluster TEXT NOT NULL, compacted INTEGER NOT NULL, chain INTEGER NOT NULL,
    kept INTEGER NOT NULL, kept_sum INTEGER NOT NULL
) STRICT;
"""

#: Place, key, place of what it replaces, checksum, chain, value.
Row = tuple[int, str, int, int, int, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the store says of itself: the row of the table `store`."""

    cluster: str
    compacted: int = 0
    chain: int = 0
    kept: int = 0
    kept_sum: int = 0


def last_place(revision: int) -> int:
    """The highest place that a revision's changes may have."""
    return revision << PLACE_BITS | _NUMBERS


def new_cluster() -> str:
    """An identity that no other cluster has."""
    return str(uuid.uuid4())


def read_base(db: sqlite3.Connection) -> Base:
    """What the store says of itself."""
    cluster, compacted, chain, kept, kept_sum = db.execute(
        "SELECT cluster, compacted, chain, kept, kept_sum FROM store"
    ).fetchone()
    return Base(cluster=cluster, compacted=compacted, chain=chain, kept=kept, kept_sum=kept_sum)


def write_base(db: sqlite3.Connection, base: Base) -> None:
    """Replace the row of the table `store`, within the caller's transaction."""
    db.execute(
        "UPDATE store SET cluster = ?, compacted = ?, chain = ?, kept = ?, kept_sum = ?",
        (base.cluster, base.compacted, base.chain, base.kept, base.kept_sum),
    )


def create(db: sqlite3.Connection, base: Base) -> None:
    """Make the tables of a new store, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    _create_tables(db, base)
    db.execute("COMMIT")


def _create_tables(db: sqlite3.Connection, base: Base) -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute("INSERT INTO store VALUES ('', 0, 0, 0, 0)")
    write_base(db, base)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {FORMAT}")


def is_format_1(db: sqlite3.Connection) -> bool:
    """Whether this is a store from before files carried their version."""
    columns = [name for _, name, *_ in db.execute("PRAGMA table_info(history)")]
    return columns == ["revision", "key", "value", "previous"]


def upgrade_1(db: sqlite3.Connection) -> None:
    """Make format 2 of format 1, in one transaction: as it was before, or whole."""
    db.execute("BEGIN IMMEDIATE")
    (compacted,) = db.execute("SELECT revision FROM compacted").fetchone()
    base = Base(cluster=new_cluster(), compacted=compacted)
    _create_tables(db, base)
    kept = kept_sum = chain = after = 0
    while rows := db.execute(
        "SELECT revision, key, value, previous FROM history WHERE revision > ? ORDER BY revision LIMIT ?",
        (after, _UPGRADE_ROWS),
    ).fetchall():
        for revision, key, value, replaced in rows:
            place, previous = revision << PLACE_BITS, replaced << PLACE_BITS
            checksum = checksum_of(place, key, previous, value)
            if revision <= compacted:
                kept, kept_sum = kept + 1, kept_sum + checksum
            else:
                chain = link_of(chain, place, checksum)
            db.execute("INSERT INTO changes VALUES (?,?,?,?,?,?)", (place, key, previous, checksum, chain, value))
        after = rows[-1][0]
    write_base(db, replace(base, kept=kept, kept_sum=kept_sum))
    db.execute("DROP TABLE history")
    db.execute("DROP TABLE compacted")
    db.execute("COMMIT")
