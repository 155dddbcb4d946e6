"""The watch protocol without I/O: bytes in, events out (`metav1.WatchEvent`, one JSON document a line)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.api import codec
from orchestrator.machinery.errors import BadRequest, error_of_status

# A line holds one object; the API refuses larger bodies, so a longer line is not the API's.
_LINE_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event: `type` is ADDED, MODIFIED, DELETED or BOOKMARK; `object` the object's JSON bytes."""

    type: str
    object: bytes


class _Frame(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class WatchStream:
    """Cuts a watch's body into events. Feed it what arrives, in any pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[WatchEvent]:
        """The events completed by `data`.

        Raises the error that an ERROR event carries (`Gone` when the start revision is no longer kept), and
        `BadRequest` for what is not a watch.
        """
        self._rest += data
        end = self._rest.rfind(b"\n")
        if end < 0:
            if len(self._rest) > _LINE_BYTES_MAX:
                raise BadRequest("cannot read the watch: a line is longer than any object may be")
            return []
        whole = bytes(memoryview(self._rest)[:end])
        del self._rest[: end + 1]
        return [self._event(line) for line in whole.split(b"\n") if line]

    @staticmethod
    def _event(line: bytes) -> WatchEvent:
        try:
            frame = codec.decode_into(line, _Frame)
        except ValueError as broken:
            raise BadRequest(f"cannot read the watch: {broken}") from broken
        if frame.type == "ERROR":
            status: dict[str, Any] = codec.decode_into(bytes(frame.object), dict)
            raise error_of_status(code if type(code := status.get("code")) is int else 500, status)
        return WatchEvent(frame.type, bytes(frame.object))
