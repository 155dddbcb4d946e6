"""JSON Patch (RFC 6902), with Kubernetes' limits and words.

A refusal names the operation and the path, which are the client's own; never what the object holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.api import codec
from orchestrator.api.numbers import BadNumber, parse_int64
from orchestrator.api.objects import Object
from orchestrator.api.patches import BadPatch, PatchRejected, PatchTooLarge

#: Kubernetes' own limits: operations in one patch, and what `copy` operations may add, in bytes.
OPERATIONS_MAX = 10_000
COPIED_BYTES_MAX = 3 * 1024 * 1024
#: How many items insertions and removals may shift in lists: ten thousand at the head of a huge one would take minutes.
SHIFTED_MAX = 10_000_000
_SHOWN_MAX = 256


def apply(obj: Object, operations: Any) -> Object:
    """The patched object; `obj` is left as it is. Raises `BadPatch` and its more precise kinds."""
    if not isinstance(operations, list):
        raise BadPatch(f"json: cannot unmarshal {_word(operations)} into Go value of type jsonpatch.Patch")
    if len(operations) > OPERATIONS_MAX:
        raise PatchTooLarge(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise BadPatch(f"json: cannot unmarshal {_word(operation)} into Go value of type jsonpatch.Operation")
    patching = _Patching(codec.copied(obj))
    for operation in operations:
        patching.carry_out(operation)
    _check_depth(patching.obj)
    return patching.obj


def _check_depth(value: Any) -> None:
    """Moving and copying can nest what was not deep."""
    try:
        codec.check_depth(value)
    except codec.Malformed as exc:
        raise PatchRejected(str(exc)) from exc


class _NotThere(Exception):
    """The path leads nowhere; the text is what is missing."""


class _Patching:
    """An object while operations change it in place, and what they have cost."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self._copied = 0
        self._shifted = 0

    def carry_out(self, operation: Mapping[str, Any]) -> None:
        name = operation.get("op")
        carry_out = _OPERATIONS.get(name) if isinstance(name, str) else None
        if carry_out is None:
            raise PatchRejected(f"Unexpected kind: {_cut(name) if isinstance(name, str) else 'unknown'}")
        path = operation.get("path")
        if not isinstance(path, str):
            raise PatchRejected(f"{name} operation failed to decode path: missing value")
        carry_out(self, operation, path)

    def add(self, operation: Mapping[str, Any], path: str) -> None:
        parent, key = self._parent("add", path)
        self._insert(parent, key, codec.copied_value(operation.get("value")), f"error in add for path: '{_cut(path)}'")

    def remove(self, operation: Mapping[str, Any], path: str) -> None:
        parent, key = self._parent("remove", path)
        self._take(parent, key, f"error in remove for path: '{_cut(path)}'")

    def replace(self, operation: Mapping[str, Any], path: str) -> None:
        parent, key = self._parent("replace", path)
        try:
            at = _found(parent, key)
        except _NotThere:
            why = f"replace operation does not apply: doc is missing key: {_cut(path)}: missing value"
            raise PatchRejected(why) from None
        parent[at] = codec.copied_value(operation.get("value"))

    def move(self, operation: Mapping[str, Any], path: str) -> None:
        source = self._source("move", operation)
        if path == source:
            return
        if path.startswith(f"{source}/"):
            raise PatchRejected(f"error in move for path: '{_cut(path)}': it is within {_cut(source)}")
        parent, key = self._parent("move", source, what="from path")
        value = self._take(parent, key, f"error in move for path: '{_cut(source)}'")
        parent, key = self._parent("move", path, what="destination path")
        self._insert(parent, key, value, f"error in move for path: '{_cut(path)}'")

    def copy(self, operation: Mapping[str, Any], path: str) -> None:
        source = self._source("copy", operation)
        parent, key = self._parent("copy", source, what="from path")
        try:
            value = parent[_found(parent, key)]
        except _NotThere as exc:
            raise PatchRejected(f"error in copy for from: '{_cut(source)}': {exc}") from None
        _check_depth(value)
        # Twenty copies that double their target would make a million of it.
        self._copied += len(codec.encode(value))
        if self._copied > COPIED_BYTES_MAX:
            raise PatchTooLarge(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {COPIED_BYTES_MAX}"
            )
        parent, key = self._parent("copy", path, what="destination path")
        self._insert(parent, key, codec.copied_value(value), f"error while adding value during copy: '{_cut(path)}'")

    def test(self, operation: Mapping[str, Any], path: str) -> None:
        parent, key = self._parent("test", path)
        try:
            present = parent[_found(parent, key)]
        except _NotThere as exc:
            if isinstance(parent, list):
                raise PatchRejected(f"error in test for path: '{_cut(path)}': {exc}") from None
            present = None
        if not _is_equal(present, operation.get("value")):
            raise PatchRejected(f"testing value {_cut(path)} failed: test failed")

    def _source(self, name: str, operation: Mapping[str, Any]) -> str:
        source = operation.get("from")
        if not isinstance(source, str):
            raise PatchRejected(f"{name} operation failed to decode from: operation, missing from field: missing value")
        return source

    def _parent(self, name: str, path: str, *, what: str = "path") -> tuple[Any, str]:
        """What holds the value that the path names, and its key there."""
        first, *parts = path.split("/")
        at: Any = self.obj
        if not first and parts:
            *above, last = map(_unescaped, parts)
            try:
                for part in above:
                    at = at[_found(at, part)]
            except _NotThere:
                at = None
            if isinstance(at, (dict, list)):
                return at, last
        raise PatchRejected(f"{name} operation does not apply: doc is missing {what}: {_cut(path)}: missing value")

    def _insert(self, parent: Any, key: str, value: Any, context: str) -> None:
        if isinstance(parent, dict):
            parent[key] = value
            return
        at = len(parent) if key == "-" else _index(key, len(parent) + 1, context)
        self._shift(len(parent) - at)
        parent.insert(at, value)

    def _take(self, parent: Any, key: str, context: str) -> Any:
        if isinstance(parent, dict):
            if key not in parent:
                raise PatchRejected(f"{context}: Unable to remove nonexistent key: {_cut(key)}: missing value")
            return parent.pop(key)
        at = _index(key, len(parent), context)
        self._shift(len(parent) - at)
        return parent.pop(at)

    def _shift(self, count: int) -> None:
        self._shifted += count
        if self._shifted > SHIFTED_MAX:
            raise PatchTooLarge(f"The patch moves more than {SHIFTED_MAX} items of lists")


_OPERATIONS: Mapping[str, Callable[[_Patching, Mapping[str, Any], str], None]] = {
    "add": _Patching.add,
    "remove": _Patching.remove,
    "replace": _Patching.replace,
    "move": _Patching.move,
    "copy": _Patching.copy,
    "test": _Patching.test,
}


def _found(parent: Any, key: str) -> Any:
    """The key or index of a value that is there; raises `_NotThere`."""
    if isinstance(parent, dict):
        if key not in parent:
            raise _NotThere(f"unable to get nonexistent key: {_cut(key)}: missing value")
        return key
    if not isinstance(parent, list):
        raise _NotThere("missing value")
    try:
        return _index(key, len(parent), "")
    except PatchRejected as exc:
        raise _NotThere(str(exc).removeprefix(": ")) from None


def _index(key: str, end: int, context: str) -> int:
    """A list's index below `end`, which may be counted from there; raises `PatchRejected`."""
    try:
        index = parse_int64(key)
    except BadNumber:
        raise PatchRejected(f"{context}: value was not a proper array index: '{_cut(key)}'") from None
    if not -end <= index < end:
        raise PatchRejected(f"{context}: Unable to access invalid index: {index}: invalid index referenced")
    return index + end if index < 0 else index


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _is_equal(left: Any, right: Any) -> bool:
    """Equal as JSON: unlike in Python, true is not 1."""
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(_is_equal(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(_is_equal, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _word(value: Any) -> str:
    words = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return words.get(type(value), "null")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
