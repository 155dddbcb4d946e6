"""YAML as Kubernetes reads and writes it: 1.1 without timestamps and sexagesimals, keys become strings.

The parser's events become values in one pass. What a document costs is bounded before it is spent: depth, values and
text are counted as they come, those that aliases stand for included.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import yaml

from orchestrator.api import codec
from orchestrator.api.codec import DEPTH_MAX, Malformed
from orchestrator.api.objects import Object

#: How many values a document may stand for once its aliases are expanded. The largest manifests that people write
#: (custom resource definitions of a megabyte) have 30,000; each costs about ten microseconds.
VALUES_MAX = 100_000
#: How much text it may stand for: what a request may carry, several times over.
TEXT_MAX = 8 << 20
#: As many repeated keys as Kubernetes reports of one object.
DUPLICATES_MAX = 100
# Longer digits are no integer anybody means, and Python's conversion of them is quadratic.
_DIGITS_MAX = 64

_TAG = "tag:yaml.org,2002:"
_EXCESSIVE = "yaml: document contains excessive aliasing"


def decode(data: bytes) -> tuple[Object, list[str]]:
    """The object in the first document of `data`, YAML or JSON, and a sentence for each key that a map has twice.

    Of such keys the last counts. Raises `Malformed`.
    """
    reader = _Reader()
    try:
        reader.read(yaml.parse(data, Loader=yaml.CBaseLoader))
    except yaml.MarkedYAMLError as exc:
        raise Malformed(f"error converting YAML to JSON: yaml: {_place_of(exc)}{exc.problem}") from exc
    except yaml.reader.ReaderError as exc:
        raise Malformed(f"error converting YAML to JSON: yaml: {exc.reason}") from exc
    except Malformed as exc:
        raise Malformed(f"error converting YAML to JSON: {exc}") from exc
    try:
        # Through JSON once: aliases become copies, and what JSON cannot say does not get further.
        return codec.decode(codec.encode(reader.value)), reader.duplicates
    except UnicodeEncodeError as exc:
        raise Malformed("error converting YAML to JSON: yaml: invalid Unicode character") from exc


class _Open:
    """A list or map whose end has not come."""

    __slots__ = ("anchor", "before", "key", "merges", "text_before", "value")

    def __init__(self, value: Any, anchor: str | None, before: int, text_before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.before = before
        self.text_before = text_before
        self.key: str | None = None  # of a map: its value comes next
        self.merges: list[tuple[Any, int]] = []  # of a map: what `<<` brings in, and on which line


class _Merge(str):
    """The key `<<`, where it means what it says."""

    __slots__ = ()


class _Anchored:
    __slots__ = ("size", "text", "value")

    def __init__(self, value: Any, size: int, text: int) -> None:
        self.value = value
        self.size = size
        self.text = text


class _Reader:
    def __init__(self) -> None:
        self.value: Any = None
        self.duplicates: list[str] = []
        self._anchors: dict[str, _Anchored] = {}
        self._open: list[_Open] = []
        self._count = 0
        self._text = 0

    def read(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._begin(event)
                case yaml.CollectionEndEvent():
                    self._end(event)
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentEndEvent():
                    return  # of several documents the first counts
            if self._count > VALUES_MAX or self._text > TEXT_MAX:
                raise Malformed(_EXCESSIVE)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._count += 1
        self._text += len(event.value)
        value = _scalar_of(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, 1, len(event.value))
        self._put(value, event)

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self._open) >= DEPTH_MAX:
            raise Malformed("exceeded max depth")
        if self._wants_key():
            raise Malformed(f"yaml: line {_line(event)}: a key must be a string")
        is_map = type(event) is yaml.MappingStartEvent
        if event.tag not in (None, "!", _TAG + ("map" if is_map else "seq")):
            raise Malformed(f"yaml: line {_line(event)}: unknown tag {_cut(event.tag)}")
        value: Any = {} if is_map else []
        self._put(value, event)
        self._open.append(_Open(value, event.anchor, self._count, self._text))
        self._count += 1
        if event.anchor:
            self._anchors.pop(event.anchor, None)

    def _end(self, event: yaml.Event) -> None:
        closed = self._open.pop()
        if closed.merges:
            self._merge(closed)
        if closed.anchor:
            self._anchors[closed.anchor] = _Anchored(
                closed.value, self._count - closed.before, self._text - closed.text_before
            )

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            raise Malformed(f"yaml: anchor '{_cut(event.anchor or '')}' value contains itself or is unknown")
        self._count += anchored.size
        self._text += anchored.text
        self._put(anchored.value, event)

    def _wants_key(self) -> bool:
        return bool(self._open) and type(self._open[-1].value) is dict and self._open[-1].key is None

    def _put(self, value: Any, event: yaml.Event) -> None:
        """Put a value where it belongs: into the list, or as key or value into the map, that is open."""
        if not self._open:
            self.value = value
            return
        inside = self._open[-1]
        container = inside.value
        if type(container) is list:
            container.append(value)
        elif inside.key is None:
            inside.key = _key_of(value, event)
        else:
            key, inside.key = inside.key, None
            if type(key) is _Merge:
                inside.merges.append((value, _line(event)))
                return
            if key in container and len(self.duplicates) < DUPLICATES_MAX:
                self.duplicates.append(f'line {_line(event)}: key "{_cut(key)}" already set in map')
            container[key] = value

    def _merge(self, closed: _Open) -> None:
        """What the map says itself goes before what it merges in; of several, the first."""
        merged: dict[str, Any] = {}
        for value, line in closed.merges:
            for source in value if type(value) is list else [value]:
                if type(source) is not dict:
                    raise Malformed(f"yaml: line {line}: map merge requires map or sequence of maps as the value")
                for key, child in source.items():
                    merged.setdefault(key, child)
        for key, child in merged.items():
            closed.value.setdefault(key, child)


def _line(event: yaml.Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark is not None else 0


def _place_of(exc: yaml.MarkedYAMLError) -> str:
    """Where it is, as Go's reader counts lines."""
    line = next((mark.line for mark in (exc.context_mark, exc.problem_mark) if mark is not None and mark.line), 0)
    if line and isinstance(exc, yaml.scanner.ScannerError):
        line += 1
    return f"line {line}: " if line else ""


def _cut(text: str) -> str:
    return text if len(text) <= 256 else f"{text[:256]}..."


def _key_of(value: Any, event: yaml.Event) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return codec.encode(value).decode()
    raise Malformed(f"yaml: line {_line(event)}: a key must be a string")


def _scalar_of(event: yaml.ScalarEvent) -> Any:
    tag = event.tag
    if tag is None or tag == "!":
        if not event.implicit[0]:
            return event.value
        found = _PLAIN.get(event.value[:1])
        if found is None:
            return event.value
        for matches, convert in found:
            if matches(event.value):
                return convert(event.value)
        return event.value
    convert_tagged = _TAGGED.get(tag)
    if convert_tagged is None:
        raise Malformed(f"yaml: line {_line(event)}: unknown tag {_cut(tag)}")
    try:
        return convert_tagged(event.value)
    except ValueError as exc:
        what = tag.removeprefix(_TAG)
        raise Malformed(f"yaml: line {_line(event)}: cannot decode !!str `{_cut(event.value)}` as a !!{what}") from exc


def _boolean(text: str) -> bool:
    return text.lower() in ("y", "yes", "true", "on")


def _integer(text: str) -> int | float | str:
    digits = text.replace("_", "")
    if len(digits) > _DIGITS_MAX:
        return _number(digits)
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-").lower()
    if digits.startswith("0b"):
        return sign * int(digits[2:] or "0", 2)
    if digits.startswith("0x"):
        return sign * int(digits[2:] or "0", 16)
    if digits.startswith("0") and len(digits) > 1:
        return sign * int(digits[1:].lstrip("o") or "0", 8)
    return sign * int(digits)


def _number(text: str) -> int | float | str:
    text = text.replace("_", "")
    value = float(text)
    if math.isinf(value):
        return text  # out of range: Go leaves it a string
    # JSON does not tell 1e3 from 1000, and Go writes the latter.
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _nothing(text: str) -> None:
    return None


def _merge_key(text: str) -> str:
    return _Merge(text)


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text, validate=False).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise ValueError(text[:16]) from exc


_Convert = Callable[[str], Any]
_Matches = Callable[[str], object]

#: Of plain scalars: the type, how it looks, the characters it may begin with.
_LOOKS: tuple[tuple[str, str, str], ...] = (
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
)
_TAGGED: Mapping[str, _Convert] = {
    _TAG + "str": str,
    _TAG + "bool": _boolean,
    _TAG + "int": _integer,
    _TAG + "float": _number,
    _TAG + "null": _nothing,
    _TAG + "merge": _merge_key,
    _TAG + "timestamp": str,
    _TAG + "binary": _binary,
}


def _by_first_character() -> Mapping[str, tuple[tuple[_Matches, _Convert], ...]]:
    found: dict[str, list[tuple[_Matches, _Convert]]] = {}
    for name, pattern, first in _LOOKS:
        for character in first:
            ways = found.setdefault("" if character == "\0" else character, [])
            ways.append((re.compile(pattern).fullmatch, _TAGGED[_TAG + name]))
    return {character: tuple(ways) for character, ways in found.items()}


_PLAIN = _by_first_character()


class _Dumper(yaml.CSafeDumper):
    """Writes strings so that neither we nor any other reader of YAML takes them for something else."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # stubs: an instance's
        character: list(resolvers) for character, resolvers in yaml.CSafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias for what occurs twice."""
        return True


for _name, _pattern, _first in _LOOKS:
    _Dumper.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first]
    )


def encode(value: Any) -> bytes:
    """The YAML of a JSON value, keys sorted, as Kubernetes answers it."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=True, width=2**31 - 1
    )
    return text.encode()
