"""Bytes to objects and back: the only place that knows the wire format, and the layout of a stored object.

A stored object starts with `{"metadata":{`, so that its revision is added by a splice at a constant offset.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import msgspec
import msgspec.json
import yaml

from orchestrator.api.objects import Object

T = TypeVar("T")

#: How deep lists and objects may nest. Kubernetes allows 10,000; nothing real passes 60, and our recursion is Python's.
DEPTH_MAX = 256

_OPENING = b'{"metadata":{'
_OFFSET = len(_OPENING)


class Malformed(ValueError):
    """The bytes are no JSON (or YAML) that we accept; the text says why, in words fit for the client."""


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
        raise Malformed(_go_words(str(exc), data)) from exc
    except UnicodeDecodeError as exc:
        raise Malformed("invalid UTF-8 in JSON string") from exc
    except RecursionError as exc:
        raise Malformed("exceeded max depth") from exc
    if isinstance(value, (dict, list)):
        _check_depth(value, data)
    return value


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


def duplicate_fields(data: bytes, decoded: Object) -> list[str]:
    """Paths of the keys that occur twice in one object of `data`, which `decoded` came from.

    Compact JSON without duplicates, which is what clients send, costs one encoding.
    """
    if _encoder.encode(decoded) == data.rstrip():
        return []
    # The dicts are kept in `found`, so that no id is used twice.
    found: dict[int, tuple[Object, list[str]]] = {}

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = [name for name, _ in pairs]
            found[id(made)] = made, sorted({name for name in names if names.count(name) > 1}, key=names.index)
        return made

    tree = json.loads(data, object_pairs_hook=note)
    return list(_paths(tree, "", found)) if found else []


def _paths(value: Any, path: str, found: dict[int, tuple[Object, list[str]]]) -> list[str]:
    paths: list[str] = []
    if isinstance(value, dict):
        _, repeated = found.get(id(value), (value, []))
        paths += [f"{path}.{name}".lstrip(".") for name in repeated]
        for name, child in value.items():
            paths += _paths(child, f"{path}.{name}".lstrip("."), found)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            paths += _paths(child, f"{path}[{index}]", found)
    return paths


def _check_depth(value: Any, data: bytes | str) -> None:
    brackets = data.count("{") + data.count("[") if isinstance(data, str) else data.count(b"{") + data.count(b"[")
    if brackets <= DEPTH_MAX:
        return
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
    position = re.search(r"JSON is malformed: (.*) \(byte (\d+)\)", text)
    if position is None:
        return text
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


#: How many values a YAML document may stand for once its aliases are expanded.
YAML_VALUES_MAX = 1_000_000


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: 1.1 without timestamps and sexagesimals, each key once, keys become strings."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # stubs: an instance's

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [
            key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge")
        ]
        if len(own) != len(set(own)):
            repeated = next(key for key in own if own.count(key) > 1)
            raise Malformed(f'yaml: line {node.start_mark.line + 1}: key "{repeated}" already set in map')
        self.flatten_mapping(node)
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool)):
                raise Malformed(f"yaml: line {key_node.start_mark.line + 1}: a key must be a string")
            made[key if isinstance(key, str) else encode(key).decode()] = self.construct_object(value_node, deep=True)
        return made


def _yaml_map(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


def _yaml_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in ("y", "yes", "true", "on")


def _yaml_float(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    text: str = node.value.replace("_", "")
    value = float(text)
    if math.isinf(value):
        return text  # out of range: Go leaves it a string
    # JSON does not tell 1e3 from 1000, and Go writes the latter.
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


_Loader.add_constructor("tag:yaml.org,2002:map", _yaml_map)
_Loader.add_constructor("tag:yaml.org,2002:bool", _yaml_bool)
_Loader.add_constructor("tag:yaml.org,2002:float", _yaml_float)
for _tag, _pattern, _first in (
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)|[0-9][0-9_]*\.[0-9_]*|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|0[0-9_]*[89][0-9_]*)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first]
    )


def decode_yaml(data: bytes) -> Object:
    """The object in the first document of `data`, YAML or JSON; raises `Malformed`."""
    try:
        _check_yaml_size(data)
        loader = _Loader(data)
        try:
            value = loader.get_data()  # the first document; None if there is none
        finally:
            loader.dispose()
    except yaml.YAMLError as exc:
        raise Malformed(f"error converting YAML to JSON: yaml: {' '.join(str(exc).split())}") from exc
    except (UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise Malformed(f"error converting YAML to JSON: {exc}") from exc
    # Through JSON once: aliases become copies, and what JSON cannot say does not get further.
    return decode(_encoder.encode(value))


def _check_yaml_size(data: bytes) -> None:
    """Refuse documents that are deep, or whose aliases expand without measure, before anything recursive sees them."""
    sizes: dict[str, int] = {}  # values below each anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor and the count of values before it
    count = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise Malformed(f"yaml: anchor '{event.anchor}' value contains itself or is unknown")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
            if event.anchor:
                sizes.pop(event.anchor, None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.DocumentEndEvent):
            return
        if len(open_nodes) > DEPTH_MAX:
            raise Malformed("exceeded max depth")
        if count > YAML_VALUES_MAX:
            raise Malformed("yaml: document contains excessive aliasing")
