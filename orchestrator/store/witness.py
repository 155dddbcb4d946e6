"""The small file beside the store's own: whose it is, and how far it had come.

A database that has lost its last part is a good database to SQLite. Only somebody who has seen more can tell, so every
commit that is durable is noted here, in place and without waiting for the disk: after a killed process the note is
exact, after a power cut it may be some seconds old, and it is never ahead of what was durable.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.machinery.whole_files import write_private

# Two lines, written in turn, so that one is whole whatever happens to the other.
_LINES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the witness says: the cluster, the newest revision that it saw, and the chain's value there."""

    cluster: str
    revision: int
    chain: int


class UnreadableWitness(Exception):
    """There is a witness, but nothing whole in it."""


def path_of(store: Path) -> Path:
    """Where the witness of a store's file is."""
    return store.with_name(store.name + ".witness")


def read(store: Path) -> Seen | None:
    """What was seen of the store; None without a witness. Raises `UnreadableWitness`."""
    try:
        text = path_of(store).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UnreadableWitness(exc.strerror) from exc
    found = [seen for line in text.split(b"\n") if (seen := _parsed(line)) is not None]
    if not found:
        raise UnreadableWitness("no line of it is whole")
    return max(found, key=lambda seen: seen.revision)


class Witness:
    """Notes how far a store has come. Used by one thread; `close` when done."""

    def __init__(self, store: Path, seen: Seen) -> None:
        """Write the whole file anew. Raises `OSError`."""
        self._cluster = seen.cluster
        self._turn = 0
        try:
            write_private(path_of(store), _line(seen) * _LINES)
        except OSError:
            # A disk that is full takes no other file, but what is written in place.
            if not _is_of(store, seen.cluster):
                raise
        self._file = os.open(path_of(store), os.O_WRONLY | os.O_CLOEXEC)

    def note(self, revision: int, chain: int) -> None:
        """Note what is durable. Raises `OSError`."""
        line = _line(Seen(cluster=self._cluster, revision=revision, chain=chain))
        os.pwrite(self._file, line, self._turn * len(line))
        self._turn = (self._turn + 1) % _LINES

    def close(self) -> None:
        """Have the last note on disk, if the disk still works; safe to repeat."""
        if self._file >= 0:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1


def _is_of(store: Path, cluster: str) -> bool:
    try:
        seen = read(store)
    except UnreadableWitness:
        return False
    return seen is not None and seen.cluster == cluster


def _line(seen: Seen) -> bytes:
    told = f"{seen.cluster} {seen.revision:020d} {seen.chain & (1 << 64) - 1:016x}".encode()
    return b"%b %08x\n" % (told, zlib.crc32(told))


def _parsed(line: bytes) -> Seen | None:
    told, _, checksum = line.rpartition(b" ")
    if checksum != b"%08x" % zlib.crc32(told):
        return None
    parts = told.decode("ascii", "replace").split(" ")
    if len(parts) != 3:
        return None
    chain = int(parts[2], 16)
    return Seen(cluster=parts[0], revision=int(parts[1]), chain=chain - (1 << 64) if chain >> 63 else chain)
