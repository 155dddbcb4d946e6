"""What tells whole records from damaged ones: a checksum for each, and a chain through all of them in their order."""

from __future__ import annotations

import struct
import zlib
from hashlib import blake2b

_RECORD = struct.Struct(">qq?")
_LINK = struct.Struct(">qqI")


def checksum_of(place: int, key: str, previous: int, value: bytes | None) -> int:
    """The checksum of one change: 32 bits over everything that is kept of it."""
    head = zlib.crc32(key.encode(), zlib.crc32(_RECORD.pack(place, previous, value is None)))
    return zlib.crc32(value, head) if value is not None else head


def link_of(chain: int, place: int, checksum: int) -> int:
    """The chain's next value, 64 bits with a sign, as SQLite has them: it depends on every change so far."""
    digest = blake2b(_LINK.pack(chain, place, checksum), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def is_whole(place: int, key: str, previous: int, checksum: int, value: bytes | None) -> bool:
    """Whether this is what was written, even in type: rot may make another one of it."""
    is_ours = isinstance(key, str) and isinstance(previous, int) and isinstance(value, bytes | None)
    return is_ours and checksum_of(place, key, previous, value) == checksum
