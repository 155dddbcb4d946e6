"""Bytes to objects and back: the only place that knows the wire format, and the layout of a stored object.

A stored object starts with `{"metadata":{`, so that its revision is added by a splice at a constant offset.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import msgspec.json

from orchestrator.api.field_paths import FieldPath, shown
from orchestrator.api.objects import Object

T = TypeVar("T")

#: How deep lists and objects may nest. Kubernetes allows 10,000; nothing real passes 60, and our recursion is Python's.
DEPTH_MAX = 256
#: As many repeated keys as Kubernetes reports of one object.
DUPLICATES_MAX = 100

_OPENING = b'{"metadata":{'
_OFFSET = len(_OPENING)


class Malformed(ValueError):
    """The bytes are no JSON, YAML or protobuf that we accept; the text says why, in words fit for the client."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """The JSON of anything made of plain values and Structs."""
    return _encoder.encode(value)


def decode_any(data: bytes | str) -> Any:
    """The JSON value in `data`, whatever its type; raises `Malformed`."""
    try:
        value = _decoder.decode(data)
    except msgspec.DecodeError as exc:
        if ("truncated" in str(exc) or "surrogate" in str(exc)) and _half_pairs(data):
            return decode_any(_without_half_pairs(data))
        raise Malformed(_go_words(str(exc), data)) from exc
    except UnicodeDecodeError as exc:
        raise Malformed("invalid UTF-8 in JSON string") from exc
    except RecursionError as exc:
        raise Malformed("exceeded max depth") from exc
    if isinstance(value, (dict, list)):
        _check_depth(value, data)
    return value


_half_pair = re.compile("[\ud800-\udfff]")


def _half_pairs(data: bytes | str) -> bool:
    """Whether halves of surrogate pairs are escaped somewhere, which Go takes and our decoder does not."""
    text = data.lower()
    return "\\ud" in text if isinstance(text, str) else b"\\ud" in text


def _without_half_pairs(data: bytes | str) -> str:
    """The same JSON with each half of a pair that stands alone replaced, as Go does. Raises `Malformed`."""
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError) as exc:
        raise Malformed("unexpected end of JSON input") from exc
    return _half_pair.sub("\ufffd", text)


def decode(data: bytes | str) -> Object:
    """The JSON object in `data`; raises `Malformed` when it is not JSON, not an object, or nested too deeply."""
    value = decode_any(data)
    if not isinstance(value, dict):
        shown = {list: "array", str: "string", int: "number", float: "number", bool: "bool", type(None): "null"}
        raise Malformed(
            f"json: cannot unmarshal {shown.get(type(value), 'value')} into Go value of type map[string]interface {{}}"
        )
    return value


def decode_into(data: bytes | str | msgspec.Raw, type_: type[T]) -> T:
    """Decode straight into a type (a view Struct, say), skipping what it does not name; raises `Malformed`."""
    try:
        value: T = _decoder_of(type_).decode(data)  # type: ignore[arg-type]  # classes are hashable
    except msgspec.DecodeError as exc:
        raise Malformed(str(exc)) from exc
    except UnicodeDecodeError as exc:  # not one of the decoder's errors, though it is the decoder's
        raise Malformed("invalid UTF-8 in JSON string") from exc
    except RecursionError as exc:
        raise Malformed("exceeded max depth") from exc
    return value


@lru_cache(maxsize=512)
def _decoder_of(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def encode_unstamped(obj: Object) -> bytes:
    """The stored form, without a resourceVersion: metadata first, for `stamp`. The object is left as it is."""
    metadata = dict(obj.get("metadata") or {})
    metadata.pop("resourceVersion", None)
    ordered: Object = {"metadata": metadata, **obj}
    ordered["metadata"] = metadata
    return _encoder.encode(ordered)


def stamp(value: bytes, revision: int) -> bytes:
    """The served form of what `encode_unstamped` made: with its resourceVersion."""
    comma = b"" if value[_OFFSET : _OFFSET + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (_OPENING, revision, comma, value[_OFFSET:])


def copied(obj: Object) -> Object:
    """A deep copy of an object that came from JSON; much faster than the general one."""
    copy: Object = _copy(obj)
    return copy


def copied_value(value: Any) -> Any:
    """The same for any JSON value."""
    return _copy(value) if isinstance(value, (dict, list)) else value


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {k: _copy(v) if type(v) is dict or type(v) is list else v for k, v in value.items()}
    return [_copy(v) if type(v) is dict or type(v) is list else v for v in value]


def duplicate_fields(data: bytes, decoded: Any) -> list[str]:
    """Paths of the keys that occur twice in one object of `data`, which `decoded` came from; the first hundred.

    Compact JSON without duplicates, which is what clients send, costs one encoding.
    """
    if _encoder.encode(decoded) == data.rstrip():
        return []
    # The dicts are kept in `found`, so that no id is used twice.
    found: dict[int, tuple[Object, list[str]]] = {}

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            found[id(made)] = made, _repeated(pairs)
        return made

    tree = json.loads(data, object_pairs_hook=note)
    paths: list[str] = []
    if found:
        _collect(tree, None, found, paths)
    return paths


def _repeated(pairs: list[tuple[str, Any]]) -> list[str]:
    """The keys that are there more than once, in the order in which they first occur."""
    seen: dict[str, int] = {}
    for name, _ in pairs:
        seen[name] = seen.get(name, 0) + 1
    return [name for name, count in seen.items() if count > 1]


def _collect(value: Any, path: FieldPath, found: dict[int, tuple[Object, list[str]]], paths: list[str]) -> None:
    if len(paths) >= DUPLICATES_MAX:
        return
    if isinstance(value, dict):
        _, repeated = found.get(id(value), (value, ()))
        paths += [shown((path, name)) for name in repeated[: DUPLICATES_MAX - len(paths)]]
        for name, child in value.items():
            if type(child) is dict or type(child) is list:
                _collect(child, (path, name), found, paths)
    else:
        for index, child in enumerate(value):
            if type(child) is dict or type(child) is list:
                _collect(child, (path, index), found, paths)


def _check_depth(value: Any, data: bytes | str) -> None:
    brackets = data.count("{") + data.count("[") if isinstance(data, str) else data.count(b"{") + data.count(b"[")
    if brackets > DEPTH_MAX:
        check_depth(value)


def check_depth(value: Any) -> None:
    """Raises `Malformed` for what is nested more deeply than we handle; itself it takes any depth."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise Malformed("exceeded max depth")


def _go_words(text: str, data: bytes | str) -> str:
    """Say what is wrong with JSON as Go does, as far as clients and people know those words."""
    if "truncated" in text:
        return "unexpected end of JSON input"
    position = re.search(r"JSON is malformed: (.*) \(byte ([0-9]+)\)", text)
    if position is None:
        if "out of range" in text:
            return "json: cannot unmarshal number into Go value of type float64"
        return "invalid character in string literal"
    raw = data.encode() if isinstance(data, str) else data
    at = int(position[2]) - (position[1] == "trailing characters")  # counted from behind that character
    shown = raw[at : at + 1].decode("latin-1")
    where = {
        "object keys must be strings": "looking for beginning of object key string",
        "trailing comma in object": "looking for beginning of object key string",
        "trailing characters": "after top-level value",
        "expected ':'": "after object key",
        "expected ',' or '}'": "after object key:value pair",
        "expected ',' or ']'": "after array element",
    }
    return f"invalid character {shown!r} {where.get(position[1], 'looking for beginning of value')}"
