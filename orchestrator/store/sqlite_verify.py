"""Reading a whole store: each record against its checksum, and all of them against the chain."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.store.chain import is_whole, link_of
from orchestrator.store.sqlite_format import PLACE_BITS, Base, Row, read_base

_ALL = "SELECT place, key, previous, checksum, chain, value FROM changes ORDER BY place"
_ONE = "SELECT place, key, previous, checksum, chain, value FROM changes WHERE place = ?"


class Damaged(Exception):
    """Something that was stored is not what is there. The text says what, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a store's writer must know of the file to go on from there."""

    base: Base
    newest: int
    chain: int
    #: The place of the newest change of every key that exists.
    current: dict[str, int]
    #: The chain's value at the revision that was asked about; None if it is before the history kept, or not yet there.
    chain_then: int | None = None


def load(db: sqlite3.Connection, *, then: int = 0) -> Loaded:
    """Read and verify everything; `then` is the revision for `chain_then`. Raises `Damaged`."""
    try:
        db.execute("BEGIN")  # one state of it, whoever writes meanwhile
        try:
            return _load(db, then)
        finally:
            db.rollback()
    except sqlite3.Error as exc:
        raise Damaged(f"it cannot be read: {exc}") from exc


def _load(db: sqlite3.Connection, then: int) -> Loaded:
    # That the tables are in order, and the index with them, is SQLite's to know; what is in them is ours.
    (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(f"its tables are not in order: {verdict}")
    base = read_base(db)
    newest, chain = base.compacted, base.chain
    chain_then = chain if then >= base.compacted else None
    current: dict[str, int] = {}
    kept = kept_sum = 0
    for place, key, previous, checksum, link, value in db.execute(_ALL):
        revision = place >> PLACE_BITS
        if not is_whole(place, key, previous, checksum, value):
            raise Damaged(f"the record '{key}' of revision {revision} is not what was written")
        if revision <= base.compacted:
            kept, kept_sum = kept + 1, kept_sum + checksum
        else:
            _check_compacted(base, kept, kept_sum)
            chain = link_of(chain, place, checksum)
            if chain != link or current.get(key, 0) != previous:
                raise Damaged(f"something is missing between revision {newest} and revision {revision}")
            newest = revision
            if revision <= then:
                chain_then = chain
        if value is None:
            current.pop(key, None)
        else:
            current[key] = place
    _check_compacted(base, kept, kept_sum)
    return Loaded(
        base=base, newest=newest, chain=chain, current=current, chain_then=chain_then if then <= newest else None
    )


def _check_compacted(base: Base, kept: int, kept_sum: int) -> None:
    if (kept, kept_sum) != (base.kept, base.kept_sum):
        raise Damaged(f"of {base.kept} records up to revision {base.compacted}, {kept} are there, or others than these")


def reload(db: sqlite3.Connection) -> Loaded:
    """What `load` says, of a file that was verified when it was opened: quick, by the keys alone."""
    base = read_base(db)
    last = db.execute("SELECT place, chain FROM changes ORDER BY place DESC LIMIT 1").fetchone() or (0, 0)
    rows = db.execute("SELECT key, max(place), value IS NULL FROM changes GROUP BY key")
    newest = last[0] >> PLACE_BITS
    return Loaded(
        base=base,
        newest=max(base.compacted, newest),
        chain=last[1] if newest > base.compacted else base.chain,
        current={key: place for key, place, gone in rows if not gone},
    )


def all_rows(db: sqlite3.Connection) -> Iterator[Row]:
    """Every row in order, as it is. Raises `sqlite3.Error`."""
    yield from db.execute(_ALL)


def whole_rows(db: sqlite3.Connection) -> Iterator[Row]:
    """Every row that can be read and is what was written, in order. Raises `Damaged` if nothing can be read at all."""
    after = 0
    try:
        for row in db.execute(_ALL):
            after = row[0]
            if _is_whole_row(row):
                yield row
        return
    except sqlite3.Error:
        pass  # somewhere behind `after`: from there on the index says what there is, and each row is tried by itself
    try:
        places = sorted(
            row[0] for row in db.execute("SELECT place FROM changes INDEXED BY changes_by_key ORDER BY key")
        )
    except sqlite3.Error as exc:
        raise Damaged(f"neither its records nor its index can be read: {exc}") from exc
    for place in places[bisect_right(places, after) :]:
        with suppress(sqlite3.Error):
            row = db.execute(_ONE, (place,)).fetchone()
            if row is not None and _is_whole_row(row):
                yield row


def _is_whole_row(row: Row) -> bool:
    place, key, previous, checksum, _, value = row
    return is_whole(place, key, previous, checksum, value)
