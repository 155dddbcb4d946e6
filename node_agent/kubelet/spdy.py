"""SPDY/3.1 frames, as far as Kubernetes' port-forward uses them: bytes in, frames out, and back. No I/O.

Its peers neither keep to nor expect flow control, so window updates and settings are skipped.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

_VERSION = 3
_FIN = 1
# A frame is at most 16 MiB by its length field; none of ours or kubectl's is near this.
_FRAME_MAX = 1 << 20
_HEADERS_MAX = 64 * 1024
_INVALID_STREAM = 2

# The words that both ends of a header compression start from, as the SPDY/3 specification lists them.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200+OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("+", " ").encode() for word in _WORDS.split()) + _TAIL.encode()
)


class _Kind(IntEnum):
    """Control frames, by their numbers in SPDY/3.1."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8


class BadFrame(ValueError):
    """The peer speaks something else, or too much: end the connection."""


@dataclass(frozen=True, slots=True)
class Open:
    """The peer opened a stream."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The peer accepted our stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream; `fin` means that no more come."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with the same id."""

    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer opens no more streams."""


Frame = Open | Reply | Data | Reset | Ping | GoAway


class Framer:
    """One end of a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    # --- in ---

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The frames that `data` completes. Raises BadFrame."""
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if length > _FRAME_MAX:
                raise BadFrame(f"a frame of {length} bytes is too large")
            if len(self._buffer) < 8 + length:
                break
            head, body = bytes(self._buffer[:8]), bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            frame = self._frame(head, body)
            if frame is not None:
                frames.append(frame)
        return frames

    def _frame(self, head: bytes, body: bytes) -> Frame | None:
        word, fin = int.from_bytes(head[:4], "big"), bool(head[4] & _FIN)
        if not word & 0x80000000:
            return Data(word, body, fin)
        if word >> 16 & 0x7FFF != _VERSION:
            raise BadFrame("not SPDY/3")
        try:
            match word & 0xFFFF:
                case _Kind.SYN_STREAM:
                    stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
                    return Open(stream, self._headers(body[10:]), fin)
                case _Kind.SYN_REPLY:
                    self._headers(body[4:])
                    return Reply(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF)
                case _Kind.RST_STREAM:
                    return Reset(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF)
                case _Kind.PING:
                    return Ping(struct.unpack_from(">I", body)[0])
                case _Kind.GOAWAY:
                    return GoAway()
                case _Kind.HEADERS:
                    # Trailing headers say nothing here, but their compression goes on.
                    self._headers(body[4:])
        except (struct.error, zlib.error) as broken:
            raise BadFrame(f"a broken frame: {broken}") from broken
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, _HEADERS_MAX)
        if self._inflate.unconsumed_tail:
            raise BadFrame("too many headers")
        (count,) = struct.unpack_from(">I", plain)
        at, headers = 4, {}
        for _ in range(count):  # what is not there cannot be unpacked
            pair = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", plain, at)
                pair.append(plain[at + 4 : at + 4 + length].decode("latin-1"))
                at += 4 + length
            headers[pair[0].lower()] = pair[1]
        return headers

    # --- out ---

    def open(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Open a stream."""
        return _control(_Kind.SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self._block(headers))

    def reply(self, stream: int) -> bytes:
        """Accept the peer's stream."""
        return _control(_Kind.SYN_REPLY, struct.pack(">I", stream) + self._block({}))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """Bytes on a stream."""
        return struct.pack(">IB", stream, _FIN if fin else 0) + len(data).to_bytes(3, "big") + data

    def reset(self, stream: int) -> bytes:
        """Refuse a stream."""
        return _control(_Kind.RST_STREAM, struct.pack(">II", stream, _INVALID_STREAM))

    def ping(self, number: int) -> bytes:
        """Ask, or answer with the peer's number."""
        return _control(_Kind.PING, struct.pack(">I", number))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower(), value):
                plain += struct.pack(">I", len(text)) + text.encode("latin-1")
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: _Kind, body: bytes) -> bytes:
    return struct.pack(">IB", 0x80000000 | _VERSION << 16 | kind, 0) + len(body).to_bytes(3, "big") + body
