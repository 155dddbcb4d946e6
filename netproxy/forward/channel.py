"""What the control side and a worker say to each other, and how it is framed on their socket pair."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from netproxy.forward.tally import Totals
from netproxy.rules import Drop, Frontend, Put

_LENGTH = struct.Struct(">I")
# A hundred thousand rules take a few megabytes; more than this is not one of our messages.
FRAME_MAX_BYTES = 256 << 20


class Batch(msgspec.Struct, frozen=True, array_like=True, tag="batch"):
    """To a worker: make these changes, then report `serial` as applied."""

    serial: int
    changes: tuple[Put | Drop, ...]


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """From a worker: the last batch it has applied, the counts that changed, and where it cannot listen and why."""

    serial: int
    totals: dict[str, Totals]
    failures: tuple[tuple[Frontend, str], ...]


def encode(message: Batch | Report) -> bytes:
    """A message as one frame: its length, then its bytes."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a stream of bytes into frames' bodies."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with `data`; raises `ValueError` for a length no message has."""
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if length > FRAME_MAX_BYTES:
                raise ValueError(f"a frame of {length} bytes is over the limit of {FRAME_MAX_BYTES}")
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            body = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            yield body


BATCHES = msgspec.msgpack.Decoder(Batch)
REPORTS = msgspec.msgpack.Decoder(Report)
