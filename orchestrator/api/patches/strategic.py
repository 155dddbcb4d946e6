"""Kubernetes' strategic merge patch: lists merge by key where the schema says so, with directives in the patch.

Directives: `$patch: replace | delete | merge`, `$retainKeys`, `$setElementOrder/FIELD` and
`$deleteFromPrimitiveList/FIELD`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.patches import BadPatch
from orchestrator.api.schema.shapes import Schema, Shape

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_SHOWN_MAX = 256


def apply(obj: Object, patch: Any, schema: Schema) -> Object:
    """The patched object; `obj` and `patch` are left as they are. Raises `BadPatch`."""
    if not isinstance(patch, dict):
        raise BadPatch("json: cannot unmarshal value into Go value of type map[string]interface {}")
    return _merge_struct(codec.copied(obj), codec.copied(patch), schema)


def _merge_struct(target: Object, patch: Object, schema: Schema | None) -> Object:
    """Merge `patch` into `target`; both are ours to change."""
    if _DIRECTIVE in patch:
        directive = patch.pop(_DIRECTIVE)
        if directive == "replace":
            return {key: _plain(value) for key, value in patch.items() if value is not None and not _is_directive(key)}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise BadPatch(f"unknown patch type: {_shown(directive)} in map: {_shown(patch)}")
    _retain(target, patch)
    orders = _directives(patch, _ORDER)
    for field, doomed in _directives(patch, _DELETE).items():
        if isinstance(target.get(field), list):
            named = {_identity(item) for item in doomed}
            target[field] = [item for item in target[field] if _identity(item) not in named]
    for field in [name for name in orders if name not in patch and isinstance(target.get(name), list)]:
        patch[field] = []  # nothing to merge, only an order to give
    for field, value in patch.items():
        described = _field_schema(schema, field)
        present = target.get(field)
        if value is None:
            target.pop(field, None)
        elif isinstance(value, dict) and isinstance(present, dict) and not _replaces(described):
            target[field] = _merge_struct(present, value, described)
        elif isinstance(value, list) and isinstance(present, list) and _merges(described):
            target[field] = _merge_list(present, value, described, orders.get(field))
        else:
            target[field] = _plain(value)
    return target


def _field_schema(schema: Schema | None, field: str) -> Schema | None:
    if schema is None:
        return None
    return schema.items if schema.shape is Shape.MAP else schema.properties.get(field)


def _replaces(schema: Schema | None) -> bool:
    return schema is not None and "replace" in schema.patch_strategies


def _merges(schema: Schema | None) -> bool:
    return schema is not None and schema.shape is Shape.LIST and "merge" in schema.patch_strategies


def _directives(patch: Object, prefix: str) -> dict[str, list[Any]]:
    """Take the directives with this prefix out of the patch: field -> list."""
    found: dict[str, list[Any]] = {}
    for key in [key for key in patch if key.startswith(prefix)]:
        value = patch.pop(key)
        if not isinstance(value, list):
            what = "setElementOrder" if prefix == _ORDER else "primitive"
            raise BadPatch(f"invalid patch format of {what} list")
        found[key.removeprefix(prefix)] = value
    return found


def _retain(target: Object, patch: Object) -> None:
    if _RETAIN not in patch:
        return
    kept = patch.pop(_RETAIN)
    fields = {key for key in patch if not key.startswith("$") and patch[key] is not None}
    names = {name for name in kept if isinstance(name, str)} if isinstance(kept, list) else None
    if names is None or not fields <= names:
        raise BadPatch("invalid patch format of retainKeys")
    for key in [key for key in target if key not in names]:
        del target[key]


def _merge_list(present: list[Any], patch: list[Any], schema: Schema | None, order: Sequence[Any] | None) -> list[Any]:
    if schema is None or not schema.merge_key:
        merged = list({_identity(item): item for item in _scalars(present) + _scalars(patch)}.values())
        return _ordered(merged, patch if order is None else order, present, "")
    return _merge_keyed(present, patch, schema, order)


def _scalars(items: Sequence[Any]) -> list[Any]:
    if any(isinstance(item, (dict, list)) for item in items):
        raise BadPatch("invalid patch format of primitive list")
    return list(items)


def _merge_keyed(present: list[Any], patch: list[Any], schema: Schema, order: Sequence[Any] | None) -> list[Any]:
    """Merge lists of objects by their key. Objects in the live list that share a key merge with the first one only."""
    key = schema.merge_key
    wanted: list[Object] = []
    replace = False
    doomed: set[Any] = set()
    for item in patch:
        directive = item.get(_DIRECTIVE) if isinstance(item, dict) else None
        if directive == "replace":
            replace = True
            if len(item) > 1:
                wanted.append({name: value for name, value in item.items() if name != _DIRECTIVE})
        elif directive == "delete":
            doomed.add(_key_of(item, key))
        elif directive == "merge" or directive is None:
            _key_of(item, key)
            wanted.append(item)
        else:
            raise BadPatch(f"unknown patch type: {_shown(directive)} in map: {_shown(item)}")
    if replace:
        return [_plain(item) for item in wanted]
    live = [item for item in present if _key_of(item, key, is_ours=True) not in doomed]
    places = {item[key]: at for at, item in reversed(list(enumerate(live)))}
    merged: list[Any] = list(live)
    for item in wanted:
        at = places.get(item[key])
        if at is None:
            places[item[key]] = len(merged)
            merged.append(_merge_struct({}, item, schema.items))
        else:
            merged[at] = _merge_struct(merged[at], item, schema.items)
    if order is None:
        return _ordered(merged, wanted, live, key)
    _check_order(wanted, order, key)
    # In Kubernetes new items take the places of deleted ones in the list it orders by; so do ours, or a client that
    # applies one manifest to both would see two orders.
    return _ordered(merged, order, merged[: len(present)], key)


def _key_of(item: Any, key: str, *, is_ours: bool = False) -> Any:
    """The value of the merge key: a scalar, or the patch (or the live list) makes no sense.

    What is in the patch may be shown to whom it came from; what `is_ours` is not.
    """
    if not isinstance(item, dict) or isinstance(item.get(key), (dict, list)) or item.get(key) is None:
        raise BadPatch(f"map: {'map[...]' if is_ours else _shown(item)} does not contain declared merge key: {key}")
    return item[key]


def _identity(item: Any) -> Any:
    """What makes items of a list of primitives the same; unlike in Python, true is not 1."""
    if isinstance(item, (dict, list)):
        return codec.encode(item)
    return (item, isinstance(item, bool))


def _shown(value: Any, room: int = _SHOWN_MAX) -> str:
    """A value as Go prints it, cut where there is no room."""
    if isinstance(value, (dict, list)):
        text = "map[" if isinstance(value, dict) else "["
        for key in sorted(value) if isinstance(value, dict) else range(len(value)):
            if len(text) > room:
                return f"{text[:room]}..."
            blank = "" if text.endswith("[") else " "
            text += blank + (f"{key[:room]}:" if isinstance(key, str) else "") + _shown(value[key], room - len(text))
        return f"{text}]"
    words = {True: "true", False: "false", None: "<nil>"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return text if len(text) <= room else f"{text[: max(room, 0)]}..."


def _check_order(wanted: list[Object], order: Sequence[Any], key: str) -> None:
    """What the patch merges must be in the order that it demands, as far as it names it."""
    places = {_key_of(item, key): at for at, item in enumerate(order)}
    at = [places.get(item[key]) for item in wanted]
    found = [place for place in at if place is not None]
    if len(found) != len(at) or found != sorted(found):
        raise BadPatch(
            f"The order in patch list:\n{_shown(wanted)}\n doesn't match $setElementOrder list:\n"
            f"{_shown(list(order))}\n"
        )


def _ordered(merged: Sequence[Any], order: Sequence[Any], live_order: Sequence[Any], key: str) -> list[Any]:
    """Items that `order` names in its order; the others keep theirs and stay before what they were before."""

    def identity(item: Any) -> Any:
        return _key_of(item, key) if key else item

    places = _places([identity(item) for item in order])
    live = _places([identity(item) for item in live_order])
    named = sorted((item for item in merged if identity(item) in places), key=lambda item: places[identity(item)])
    others = [item for item in merged if identity(item) not in places]
    others.sort(key=lambda item: live.get(identity(item), len(live)))
    result: list[Any] = []
    taken = 0
    for item in others:
        while taken < len(named) and not _before(live, identity(item), identity(named[taken])):
            result.append(named[taken])
            taken += 1
        result.append(item)
    return result + named[taken:]


def _places(identities: Sequence[Any]) -> Mapping[Any, int]:
    return {identity: at for at, identity in reversed(list(enumerate(identities)))}


def _before(live: Mapping[Any, int], left: Any, right: Any) -> bool:
    return left in live and right in live and live[left] < live[right]


def _plain(value: Any) -> Any:
    """A value that is taken over as it is: without nulls and directives."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None and not _is_directive(k)}
    if isinstance(value, list):
        kept = [item for item in value if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "delete")]
        return [_plain(item) for item in kept if item != {_DIRECTIVE: "replace"}]
    return value


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE))
