"""Backups of the embedded store's file, and putting one, or what is whole of a damaged store, in the store's place.

What is put in place begins above every revision that any client can have seen, and with no history: whoever followed
the store before has to list again, and no revision ever means two things.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.whole_files import move_into_place, sync_folder
from orchestrator.store import witness
from orchestrator.store.base import Unusable
from orchestrator.store.sqlite_format import (
    FORMAT,
    PLACE_BITS,
    Base,
    Row,
    create,
    new_cluster,
    read_base,
    upgrade_1,
    write_base,
)
from orchestrator.store.sqlite_open import OfFormat, look, open_to_look
from orchestrator.store.sqlite_verify import Damaged, Loaded, all_rows, load, whole_rows
from orchestrator.store.witness import Seen, UnreadableWitness, Witness

# More than a store writes in the seconds that a power cut can take from its witness.
_REVISIONS_AHEAD = 1_000_000
# What a store consists of; its log first, as below.
_SUFFIXES = ("-wal", "-shm", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What became of a damaged store: how many records were kept, which were lost or are older than they were."""

    loaded: Loaded
    kept: int
    lost: Sequence[str]
    set_aside: Sequence[Path]


def back_up_file(store: Path, target: Path) -> Loaded:
    """Copy a store that may be in use to a file of its own, verified and on disk. Raises `Unusable` or `OSError`."""
    own = [store.with_name(store.name + suffix).resolve() for suffix in _SUFFIXES]
    if target.resolve() in (*own, witness.path_of(store).resolve()):
        raise Unusable(f"cannot back up the store '{store}' to '{target}': that is one of its own files")
    temporary = beginning_of(target)
    try:
        with closing(open_to_look(store)) as source, closing(sqlite3.connect(temporary)) as copy:
            source.backup(copy)
        return finish(temporary, target)
    except (sqlite3.Error, Damaged) as exc:
        raise Unusable(f"cannot back up the store '{store}': {exc}") from exc
    finally:
        discard(temporary)


def beginning_of(target: Path) -> Path:
    """An empty file beside the target, for an unfinished copy; only its owner may read it. Raises `OSError`."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    return temporary


def finish(temporary: Path, target: Path) -> Loaded:
    """Verify a copy, and put it on disk under its name, as one file. Raises `sqlite3.Error`, `Damaged`, `OSError`."""
    with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
        # A copy says of itself that it has a log, which it would get whenever somebody looks into it.
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
        loaded = load(copy)
    _sync(temporary)
    move_into_place(temporary, target)
    return loaded


def discard(temporary: Path) -> None:
    """Remove what is left of an unfinished copy."""
    for name in (temporary.name, temporary.name + "-wal", temporary.name + "-shm", temporary.name + "-journal"):
        with suppress(OSError):
            temporary.with_name(name).unlink()


def restore(backup: Path, store: Path, *, may_change_cluster: bool, now: float) -> tuple[Loaded, Sequence[Path]]:
    """Put a backup in the store's place; returns it, and where what was there is. The store must not be in use.

    Raises `Unusable` when the backup is not whole, or of another cluster than the store; `OSError`.
    """
    found = look(backup)
    if not isinstance(found, OfFormat) or found.number > FORMAT:
        raise Unusable(f"cannot restore '{backup}': it is not a backup, or one of a newer release")
    seen = _seen_of(store)
    temporary, old_format = beginning_of(store), beginning_of(store.with_name(store.name + ".old"))
    try:
        source = backup if found.number == FORMAT else _upgraded(backup, old_format)
        with closing(open_to_look(source)) as db:
            loaded = load(db)
            if seen is not None and seen.cluster != loaded.base.cluster and not may_change_cluster:
                raise Unusable(
                    f"cannot restore '{backup}': it is of cluster {loaded.base.cluster}, "
                    f"but here was cluster {seen.cluster}"
                )
            current = set(loaded.current.values())
            rows = (row for row in all_rows(db) if row[0] in current)
            _build(temporary, rows, loaded.base.cluster, _beyond(loaded.newest, seen))
        return _put_in_place(temporary, store, now)
    except (sqlite3.Error, Damaged) as exc:
        raise Unusable(f"cannot restore '{backup}': {exc}") from exc
    finally:
        discard(temporary)
        discard(old_format)


def repair(store: Path, *, now: float) -> Repaired:
    """Put in the store's place what is whole of it. It must not be in use. Raises `Unusable` or `OSError`."""
    if look(store) != OfFormat(FORMAT):
        raise Unusable(f"cannot repair '{store}': there is no store of this release that could be read")
    seen = _seen_of(store)
    temporary = beginning_of(store)
    try:
        with closing(open_to_look(store)) as db:
            newest: dict[str, Row] = {}
            for row in whole_rows(db):
                newest[row[1]] = row
            lost = [key for key, place in _places(db) if key not in newest or newest[key][0] < place]
            cluster = _cluster_of(db) or (seen.cluster if seen is not None else new_cluster())
            if seen is not None and seen.cluster != cluster:
                raise Unusable(
                    f"cannot repair '{store}': it is of cluster {cluster}, but here was cluster {seen.cluster}; if "
                    f"this one is meant to take its place, remove '{witness.path_of(store)}'"
                )
        kept = [row for row in newest.values() if row[5] is not None]
        last = max((row[0] >> PLACE_BITS for row in newest.values()), default=0)
        _build(temporary, kept, cluster, _beyond(last, seen))
        loaded, set_aside = _put_in_place(temporary, store, now)
    except (sqlite3.Error, Damaged) as exc:
        raise Unusable(f"cannot repair '{store}': {exc}") from exc
    finally:
        discard(temporary)
    return Repaired(loaded=loaded, kept=len(kept), lost=lost, set_aside=set_aside)


def _upgraded(backup: Path, copied: Path) -> Path:
    with closing(open_to_look(backup)) as source, closing(sqlite3.connect(copied, isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
        upgrade_1(copy)
    return copied


def _build(path: Path, rows: Iterable[Row], cluster: str, revision: int) -> None:
    """A store of these records, which has come to this revision and remembers nothing before it."""
    kept = kept_sum = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        create(db, Base(cluster=cluster))
        db.execute("BEGIN IMMEDIATE")
        for row in rows:
            db.execute("INSERT INTO changes VALUES (?,?,?,?,?,?)", row)
            kept, kept_sum = kept + 1, kept_sum + row[3]
        base = Base(cluster=cluster, compacted=revision, kept=kept, kept_sum=kept_sum)
        write_base(db, base)
        db.execute("COMMIT")


def _put_in_place(temporary: Path, store: Path, now: float) -> tuple[Loaded, Sequence[Path]]:
    """Set aside what is there, and move a whole store into its place.

    The witness goes first: from then on nothing but that store is taken for this cluster's, and nobody finds an empty
    place and begins a new one; whoever is interrupted does it again. Of what is set aside, the log goes first: beside
    another file it would be played into that one.
    """
    with closing(open_to_look(temporary)) as db:
        loaded = load(db)
    _sync(temporary)
    Witness(store, Seen(cluster=loaded.base.cluster, revision=loaded.newest, chain=loaded.chain)).close()
    aside = _free_name(store, f"{store.name}.before-{timestamp(now).replace(':', '').replace('-', '')}")
    set_aside: list[Path] = []
    for suffix in _SUFFIXES:
        there = store.with_name(store.name + suffix)
        if there.exists():
            set_aside.append(there.rename(store.with_name(aside + suffix)))
    sync_folder(store.parent)
    move_into_place(temporary, store)
    return loaded, set_aside


def _free_name(store: Path, wanted: str) -> str:
    """A name beside the store's that nothing has which was set aside before."""
    names = chain([wanted], (f"{wanted}.{number}" for number in count(2)))
    return next(name for name in names if not any(store.with_name(name + suffix).exists() for suffix in _SUFFIXES))


def _beyond(newest: int, seen: Seen | None) -> int:
    return max(newest, seen.revision if seen is not None else 0) + _REVISIONS_AHEAD


def _seen_of(store: Path) -> Seen | None:
    try:
        return witness.read(store)
    except UnreadableWitness:
        return None


def _places(db: sqlite3.Connection) -> Sequence[tuple[str, int]]:
    """Each key and its newest place, by the index; nothing if that cannot be read."""
    with suppress(sqlite3.Error):
        found = db.execute("SELECT key, max(place) FROM changes INDEXED BY changes_by_key GROUP BY key").fetchall()
        return [(key, place) for key, place in found]
    return ()


def _cluster_of(db: sqlite3.Connection) -> str | None:
    with suppress(sqlite3.Error, TypeError):
        return read_base(db).cluster
    return None


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
