"""Protobuf to a plain object: the envelope, and messages by the table. Answers are always JSON; all clients take it."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from orchestrator.api.objects import Object
from orchestrator.machinery.clock import timestamp
from orchestrator.server.protobuf import messages

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_DEPTH_MAX = 64

# Go writes these even when nobody set them, because they are no pointers there; the JSON form leaves zeros out. All
# other integers and booleans are pointers: a zero was meant.
_NO_POINTERS = frozenset(
    """
    minReadySeconds initialDelaySeconds periodSeconds successThreshold failureThreshold hostPort nodePort generation
    observedGeneration updatedReplicas readyReplicas availableReplicas unavailableReplicas currentReplicas
    fullyLabeledReplicas healthCheckNodePort count hostNetwork hostPID hostIPC stdin stdinOnce tty readOnly
    unschedulable publishNotReadyAddresses paused allowed denied incomplete authenticated
    """.split()  # noqa: SIM905 - read as a paragraph
)
_PROBE = "core.v1.Probe"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its JSON name (empty: merged into the message around it), shape and type."""

    name: str
    shape: str
    type: str


def decode(data: bytes, *, api_version: str, kind: str) -> Object:
    """The object in an enveloped protobuf body; `api_version` and `kind` are for bodies that name none.

    Raises `Malformed` for what is no such body, or of a kind that the table has not.
    """
    if not data.startswith(_MAGIC):
        raise Malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_fields(data[len(_MAGIC) :]))
        type_meta = dict(_fields(envelope.get(1, b"")))
        own_version = type_meta.get(1, b"").decode() or api_version
        own_kind = type_meta.get(2, b"").decode() or kind
        message = _kinds().get(f"{own_version}/{own_kind}")
        if message is None:
            raise Malformed(f'no kind "{own_kind}" is registered for version "{own_version}"')
        obj = _message(message, envelope.get(2, b""), 0)
    except Malformed:
        raise
    except IndexError as exc:
        raise Malformed("unexpected EOF") from exc
    except UnicodeDecodeError as exc:
        raise Malformed("proto: invalid UTF-8 in a string") from exc
    except (struct.error, ValueError, AttributeError, TypeError, OverflowError, OSError) as exc:
        raise Malformed("proto: a field is not of the type that the message has for it") from exc
    return {"apiVersion": own_version, "kind": own_kind, **obj}


@lru_cache(maxsize=1)
def _kinds() -> Mapping[str, str]:
    return dict(line.split(" ") for line in messages.KINDS.split("\n") if line)


@lru_cache(maxsize=1)
def _messages() -> Mapping[str, Mapping[int, Field]]:
    table: dict[str, dict[int, Field]] = {}
    for line in messages.MESSAGES.split("\n"):
        if not line:
            continue
        name, *described = line.split(" ")
        table[name] = dict(_described(text) for text in described)
    return table


def _described(text: str) -> tuple[int, Field]:
    name, _, rest = text.partition("=")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    number, type_ = int(rest[:digits]), rest[digits:]
    shape = type_[0] if type_[0] in "*%" else ""
    return number, Field(name, shape, type_[len(shape) :])


def _message(name: str, data: bytes, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise Malformed("exceeded max depth")
    if (special := _SPECIAL.get(name)) is not None:
        return special(dict(_fields(data)))
    if name.endswith(".ExtraValue"):
        return [value.decode() for _, value in _fields(data)]
    fields = _messages()[name]
    obj: Object = {}
    for number, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            continue  # newer than the table
        if field.shape == "%":
            key, value = _entry(field.type, raw, depth)
            obj.setdefault(field.name, {})[key] = value
            continue
        value = _value(field.type, raw, depth)
        if field.shape == "*":
            obj.setdefault(field.name, []).append(value)
        elif not field.name:
            obj.update(value)
        elif not _is_unset(field, name, value):
            obj[field.name] = value
    return obj


def _is_unset(field: Field, message: str, value: Any) -> bool:
    if value is None or value == "":
        return True
    if value == 0 and field.type in ("i", "b"):
        return field.name in _NO_POINTERS or (message == _PROBE and field.name == "timeoutSeconds")
    return False


def _entry(type_: str, raw: bytes, depth: int) -> tuple[str, Any]:
    pair = dict(_fields(raw))
    empty: Any = 0 if type_ in ("i", "b", "d") else b""
    return pair.get(1, b"").decode(), _value(type_, pair.get(2, empty), depth)


def _value(type_: str, raw: Any, depth: int) -> Any:
    match type_:
        case "s":
            return raw.decode()
        case "i":
            return _signed(raw)
        case "b":
            return bool(raw)
        case "y":
            return base64.b64encode(raw).decode()
        case "d":
            return struct.unpack("<d", raw)[0]
        case _:
            return _message(type_, raw, depth + 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, raw value) of each field: an int for varints, bytes for all else. Raises `IndexError` at a cut."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        match wire:
            case 0:
                value, at = _varint(data, at)
                yield number, value
                continue
            case 1:
                length = 8
            case 2:
                length, at = _varint(data, at)
            case 5:
                length = 4
            case _:
                raise Malformed(f"proto: illegal wireType {wire}")
        if at + length > end:
            raise Malformed("unexpected EOF")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise Malformed("proto: integer overflow")


def _seconds(fields: Mapping[int, Any]) -> int | None:
    seconds = _signed(fields.get(1, 0))
    # Go's zero time is the year 1, which here means: not set.
    return None if seconds <= 0 else seconds


def _time(fields: Mapping[int, Any]) -> str | None:
    seconds = _seconds(fields)
    return None if seconds is None else timestamp(seconds)


def _micro_time(fields: Mapping[int, Any]) -> str | None:
    seconds, nanos = _seconds(fields), _signed(fields.get(2, 0))
    if not 0 <= nanos < 1_000_000_000:
        raise Malformed("proto: a second has not so many nanoseconds")
    # As whole numbers: what is both in one float comes out a microsecond less, half of the time.
    return None if seconds is None else f"{timestamp(seconds)[:-1]}.{nanos // 1000:06d}Z"


def _int_or_string(fields: Mapping[int, Any]) -> Any:
    return fields.get(3, b"").decode() if fields.get(1, 0) == 1 else _signed(fields.get(2, 0))


def _raw_json(fields: Mapping[int, Any]) -> Any:
    raw = fields.get(1, b"")
    return codec.decode_any(raw) if raw else None


_SPECIAL: Mapping[str, Callable[[Mapping[int, Any]], Any]] = {
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "resource.Quantity": lambda fields: fields.get(1, b"").decode(),
    "intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _raw_json,
    "meta.v1.FieldsV1": _raw_json,
}
