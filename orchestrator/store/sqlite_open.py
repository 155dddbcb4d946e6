"""Opening the embedded store's file: what is there, whether it is this cluster's, and whether all of it is there.

Nothing is written before everything has been looked at: what is refused stays as it was found, for whoever repairs it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from orchestrator.machinery.log import get_logger
from orchestrator.machinery.whole_files import sync_folder
from orchestrator.store import witness
from orchestrator.store.base import Unusable, UnusableForNow
from orchestrator.store.sqlite_files import open_writer
from orchestrator.store.sqlite_format import (
    APPLICATION_ID,
    FORMAT,
    Base,
    create,
    is_format_1,
    new_cluster,
    upgrade_1,
)
from orchestrator.store.sqlite_verify import Damaged, Loaded, load
from orchestrator.store.witness import Seen, UnreadableWitness, Witness

logger = get_logger(__name__)

_MAGIC = b"SQLite format 3\x00"
# What a disk, the machine or another process says that may say otherwise in a while.
_PASSING = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
)
_PASSING_OF_SYSTEM = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.ESTALE,
)


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no file; `has_log` if its log is there all the same."""

    has_log: bool


@dataclass(frozen=True, slots=True)
class Blank:
    """A file with nothing in it, as a process leaves it that is killed while making it."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that is no store of ours, or cannot be told from that."""

    why: str


@dataclass(frozen=True, slots=True)
class OfFormat:
    """A store of ours, in this format."""

    number: int


Found = Absent | Blank | Foreign | OfFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that is open for writing. Both are the opener's to close."""

    db: sqlite3.Connection
    loaded: Loaded
    witness: Witness


def open_file(path: Path, kind: type[sqlite3.Connection] = sqlite3.Connection) -> Opened:
    """Open the store's file, or make it for a new cluster. Raises `Unusable`."""
    seen = seen_of(path)
    found = look(path)
    if (why := why_not(found, seen, path)) is not None:
        raise Unusable(why)
    loaded = verified(path, seen) if found == OfFormat(FORMAT) else None
    db = _opened(path, kind)
    try:
        if isinstance(found, Absent | Blank):
            _make(db, path)
        elif found != OfFormat(FORMAT):
            upgrade_1(db)
            logger.info("store.upgraded", path=str(path), format=FORMAT)
        loaded = loaded or load(db)
        noted = Seen(cluster=loaded.base.cluster, revision=loaded.newest, chain=loaded.chain)
        return Opened(db=db, loaded=loaded, witness=Witness(path, noted))
    except (sqlite3.Error, OSError, Damaged) as exc:
        db.close()
        raise _not_opened(path, exc) from exc


def passes(exc: BaseException | None) -> bool:
    """Whether what failed, or what that came of, says nothing of the store itself and may work later."""
    if isinstance(exc, sqlite3.Error):
        return getattr(exc, "sqlite_errorcode", 0) & 0xFF in _PASSING
    if isinstance(exc, OSError):
        return exc.errno in _PASSING_OF_SYSTEM
    return isinstance(exc, Damaged) and passes(exc.__cause__)


def _not_opened(path: Path, exc: Exception) -> Unusable:
    if passes(exc):
        return UnusableForNow(f"cannot open the store '{path}' for now: {exc}")
    return Unusable(f"cannot open the store '{path}': {exc}")


def verified(path: Path, seen: Seen | None) -> Loaded:
    """Read and verify a file of our format without changing anything. Raises `Unusable`."""
    try:
        with closing(open_to_look(path)) as db:
            loaded = load(db, then=seen.revision if seen else 0)
    except (Damaged, sqlite3.Error) as exc:
        if passes(exc):
            raise _not_opened(path, exc) from exc
        raise Unusable(
            f"the store '{path}' is damaged: {exc}. Put a backup in its place with `wherry store restore BACKUP`, or "
            "keep what is whole of it with `wherry store repair`"
        ) from exc
    if (why := why_not_seen(loaded, seen, path)) is not None:
        raise Unusable(why)
    return loaded


def check(path: Path) -> Loaded | None:
    """Read and verify a store, in use or not; None for one of an older format, which says too little of itself.

    Changes nothing. Raises `Unusable`.
    """
    seen = seen_of(path)  # before the store, which may have come further meanwhile
    found = look(path)
    if isinstance(found, Absent | Blank):
        raise Unusable(why_not(found, seen, path) or f"there is no store '{path}'")
    if (why := why_not(found, seen, path)) is not None:
        raise Unusable(why)
    return verified(path, seen) if found == OfFormat(FORMAT) else None


def look(path: Path) -> Found:
    """What is at the store's path, without changing it. Raises `UnusableForNow`."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        return Absent(has_log=_has_log(path))
    except OSError as exc:
        if passes(exc):
            raise _not_opened(path, exc) from exc
        return Foreign(f"it cannot be read: {exc.strerror}")
    if not head:
        return Absent(has_log=True) if _has_log(path) else Blank()
    if head != _MAGIC:
        return Foreign("it is not a database, or its beginning is damaged")
    try:
        with closing(open_to_look(path)) as db:
            return _look_into(db)
    except sqlite3.Error as exc:
        if passes(exc):
            raise _not_opened(path, exc) from exc
        return Foreign(f"it cannot be read as a database: {exc}")


def _look_into(db: sqlite3.Connection) -> Found:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (number,) = db.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        return OfFormat(number)
    if is_format_1(db):
        return OfFormat(1)
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return Foreign("it is another program's database") if tables or application else Blank()


def why_not(found: Found, seen: Seen | None, path: Path) -> str | None:
    """Why a store must not be opened or made, with the ways out; None if nothing speaks against it."""
    back = (
        "put it back, or put a backup in its place with `wherry store restore BACKUP`; only to begin an empty cluster, "
        f"remove '{witness.path_of(path)}'"
    )
    had = f" (cluster {seen.cluster}, it had come to revision {seen.revision})" if seen is not None else ""
    match found:
        case Absent(has_log=True) if seen is None:
            return (
                f"the store '{path}' is missing or empty, but its log '{path}-wal' is there: put the file back beside "
                "it, or put a backup in its place with `wherry store restore BACKUP`; only to begin an empty cluster, "
                "remove the log"
            )
        case Absent() if seen is not None:
            return f"the store '{path}' is missing or empty{had}: {back}"
        case Blank() if seen is not None:
            return f"the store '{path}' is empty{had}: {back}"
        case Foreign(why):
            return f"'{path}' is not a store that can be used{had}: {why}. Move it away and {back}"
        case OfFormat(number) if number > FORMAT:
            return (
                f"the store '{path}' was written by a newer release (format {number}; this one knows up to {FORMAT}): "
                "install that release again, or put a backup from before the upgrade in its place with "
                "`wherry store restore BACKUP`"
            )
    return None


def why_not_seen(loaded: Loaded, seen: Seen | None, path: Path) -> str | None:
    """Why a whole store is still not what this cluster had; None if nothing speaks against it."""
    if seen is None:
        return None
    cluster = loaded.base.cluster
    if cluster != seen.cluster:
        return (
            f"the store '{path}' is of cluster {cluster}, but here was cluster {seen.cluster}: put that one's file "
            f"back, or, if this one is meant to take its place, remove '{witness.path_of(path)}'"
        )
    if loaded.newest < seen.revision:
        return (
            f"the store '{path}' ends at revision {loaded.newest}, but it had come to revision {seen.revision}: its "
            f"log '{path}-wal' is lost or damaged, or this is an older copy. Put the newest files back, or a backup in "
            "their place with `wherry store restore BACKUP`, or go on with what is left by `wherry store repair`"
        )
    if loaded.chain_then is not None and loaded.chain_then != seen.chain:
        return (
            f"the store '{path}' is not the one that was here: at revision {seen.revision} something else was written. "
            "Put that one's file back, or, if this one is meant to take its place, have it checked and taken over by "
            "`wherry store repair`"
        )
    return None


def open_to_look(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even the log when it is closed."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)


def seen_of(path: Path) -> Seen | None:
    """What the witness says of a store; None without one. Raises `Unusable`."""
    try:
        return witness.read(path)
    except UnreadableWitness as exc:
        raise Unusable(
            f"'{witness.path_of(path)}', which tells what the store had come to, cannot be read: {exc}. If the store "
            "is known to be the newest, have it checked and taken over by `wherry store repair`"
        ) from exc


def _opened(path: Path, kind: type[sqlite3.Connection]) -> sqlite3.Connection:
    try:
        # Made by us, so that nobody else may read it: SQLite would use the umask.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return open_writer(path, kind)
    except (sqlite3.Error, OSError) as exc:
        raise _not_opened(path, exc) from exc


def _make(db: sqlite3.Connection, path: Path) -> None:
    """Make a new cluster's store, and have it on disk before there is a witness of it."""
    base = Base(cluster=new_cluster())
    create(db, base)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for folder in (path.parent, path.parent.parent):  # it may have been made for us just now
        sync_folder(folder)
    logger.info("store.made", path=str(path), cluster=base.cluster)


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0
