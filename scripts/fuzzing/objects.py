"""Objects of every kind, drawn from their schemas: likely ones, odd ones, and ones with very many of one thing."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.api.kinds import BUILT_IN, Kind
from orchestrator.api.objects import Object
from orchestrator.api.schema.served import schema_of_kind
from orchestrator.api.schema.shapes import Schema, Shape

_FIELDS_MAX = 8
_DEPTH_MAX = 9
_WORDS = (
    "", "a", "web", "A_b", "..", "a.b/c", "10.0.0.1", "::1", "fd00::/8", "None", "Always", "In", "http", "x" * 64, "é",
    "\u202e", "a\u0000b", "\x1b[2J", "TCP", "ClusterIP", "v1", "kubernetes.io/x", "25%", "-1", "99999999999999999999",
    "\U0001f600", "default", "Exists", "system:masters", "/", "a/../b", "${X}", "$(X)", "1_0", "\uff11", "c", "web-0",
)  # fmt: skip
_NUMBERS = (-(2**63), -1, 0, 1, 2, 80, 65536, 2**31 - 1, 2**31, 2**63 - 1)
_SCALARS: dict[Shape, tuple[Any, ...]] = {
    Shape.STRING: _WORDS,
    Shape.INT32: _NUMBERS,
    Shape.INT64: _NUMBERS,
    Shape.NUMBER: (*_NUMBERS, 0.5, 1e300),
    Shape.BOOLEAN: (False, True),
    Shape.BYTES: ("", "QQ==", "e30=", "QQ", "*"),
    Shape.TIME: ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z"),
    Shape.MICRO_TIME: ("2026-01-01T00:00:00.000000Z", "x"),
    Shape.AMOUNT: ("0", "1", "-1", "500m", "1Gi", "1e3", "16Ei", "1e1000", "1e-9", "x"),
    Shape.QUANTITY: ("0", "1", "-1", "500m", "1Gi", "1e3", "16Ei"),
    Shape.INT_OR_STRING: (0, 80, -1, "http", "25%", "101%", "", "99999999999999999999%"),
    Shape.ANY: ("x", 1, True, {"a": [1]}, None),
}
#: Values of a type that the field has not.
ODD: tuple[Any, ...] = (
    None,
    0,
    -1,
    1.5,
    "",
    "x",
    "é\u0000",
    True,
    [],
    {},
    [None],
    {"a": None},
    [[]],
    [{}],
    2**40,
    {"a": {"b": [1]}},
)


def some(schema: Schema | None, dice: random.Random, depth: int = _DEPTH_MAX) -> Any:
    """Some value that fits the schema, with few of its fields at a time."""
    if schema is None:
        return "x"
    match schema.shape:
        case Shape.STRUCT:
            known = sorted(schema.properties)
            chosen = dice.sample(known, min(len(known), dice.randint(0, _FIELDS_MAX))) if depth else []
            return {name: some(schema.properties[name], dice, depth - 1) for name in chosen}
        case Shape.LIST:
            return [some(schema.items, dice, depth - 1) for _ in range(dice.randint(0, 3) if depth else 0)]
        case Shape.MAP:
            return {dice.choice(_WORDS): some(schema.items, dice, depth - 1) for _ in range(dice.randint(0, 3))}
        case _:
            return dice.choice(_SCALARS[schema.shape])


_CONTAINERS = [{"name": "c", "image": "i"}]
_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": _CONTAINERS}}
_WORKLOAD = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "serviceName": "s", "template": _TEMPLATE}}
#: What makes an object of a kind valid, beyond its name.
_VALID: dict[str, Object] = {
    "Pod": {"spec": {"containers": _CONTAINERS}},
    "Deployment": {"spec": {key: value for key, value in _WORKLOAD["spec"].items() if key != "serviceName"}},
    "ReplicaSet": {"spec": {key: value for key, value in _WORKLOAD["spec"].items() if key != "serviceName"}},
    "StatefulSet": _WORKLOAD,
    "Service": {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    "ConfigMap": {"data": {"a": "b"}},
    "Secret": {"stringData": {"a": "b"}},
    "Endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
    "Lease": {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 15}},
    "Namespace": {},
    "Node": {},
    "ServiceAccount": {},
    "ControllerRevision": {"revision": 1, "data": {"a": 1}},
    "SubjectAccessReview": {"spec": {"user": "x", "resourceAttributes": {"verb": "get", "resource": "pods"}}},
    "SelfSubjectAccessReview": {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/x"}}},
    "TokenReview": {"spec": {"token": "x"}},
}


def an_object(kind: Kind, name: str, dice: random.Random) -> Object:
    """An object of the kind as somebody might send it: often valid, else whatever its schema allows."""
    resource = kind.resource
    valid = _VALID.get(resource.kind)
    if valid is not None and dice.random() < 0.6:
        head = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}}
        return copy.deepcopy({**head, **valid})
    schema = schema_of_kind(BUILT_IN, resource.api_version, resource.kind)
    obj: Object = {part: some(described, dice) for part, described in schema.properties.items() if dice.random() < 0.8}
    obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
    meta: Object = obj.setdefault("metadata", {})
    meta["name"] = name
    if dice.random() < 0.8:
        meta.pop("namespace", None)
        for field in ("uid", "resourceVersion", "ownerReferences"):
            meta.pop(field, None)
    return obj


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something is in an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from paths(child, (*path, key))


def spoil(obj: Object, dice: random.Random) -> None:
    """Take something away from the object or put something odd into it."""
    found = list(paths(obj))
    if not found:
        return
    *above, last = dice.choice(found)
    target: Any = obj
    for key in above:
        target = target[key]
    if dice.random() < 0.3:
        del target[last]
    else:
        target[last] = copy.deepcopy(dice.choice(ODD))  # or a later change would be one of all of them


@dataclass(frozen=True, slots=True)
class Crowd:
    """A list or a map of a kind, as a place for very many items."""

    kind: Kind
    path: tuple[str, ...]
    schema: Schema

    def __str__(self) -> str:
        return f"{self.kind.resource.kind}.{'.'.join(self.path)}"

    def filled(self, base: Object, count: int, *, alike: bool) -> Object:
        """`base` with `count` items there, all alike or all different."""
        target: Any = base
        for part in self.path[:-1]:
            if isinstance(target, list):
                target = target[0]
            target = target.setdefault(part, {} if part != "containers" else [{"name": "c", "image": "i"}])
        if isinstance(target, list):
            target = target[0]
        dice = random.Random(1)
        items = [_item(self.schema.items, "same" if alike else f"n{number}", dice) for number in range(count)]
        if self.schema.shape is Shape.MAP:
            target[self.path[-1]] = {f"k{number}": item for number, item in enumerate(items)}
        else:
            target[self.path[-1]] = items
        return base


def _item(schema: Schema | None, word: str, dice: random.Random, depth: int = 3) -> Any:
    """An item whose strings are all `word`."""
    if schema is None or schema.shape is Shape.STRING:
        return word
    match schema.shape:
        case Shape.STRUCT:
            known = list(schema.properties)[:12] if depth else []
            return {name: _item(schema.properties[name], word, dice, depth - 1) for name in known}
        case Shape.LIST:
            return [_item(schema.items, word, dice, depth - 1)] if depth else []
        case Shape.MAP:
            return {word: _item(schema.items, word, dice, depth - 1)} if depth else {}
        case _:
            return _SCALARS[schema.shape][1]


def crowds() -> Iterator[Crowd]:
    """Every list and map of every kind, down to where the schemas repeat themselves."""
    for kind in BUILT_IN.rows:
        schema = schema_of_kind(BUILT_IN, kind.resource.api_version, kind.resource.kind)
        yield from _crowds(kind, schema, (), frozenset())


def _crowds(kind: Kind, schema: Schema, path: tuple[str, ...], seen: frozenset[int]) -> Iterator[Crowd]:
    if id(schema) in seen or len(path) > _DEPTH_MAX:
        return
    for name, described in schema.properties.items():
        here = (*path, name)
        if described.shape is Shape.STRUCT:
            yield from _crowds(kind, described, here, seen | {id(schema)})
        elif described.shape in (Shape.LIST, Shape.MAP):
            yield Crowd(kind, here, described)
            inside = described.items
            if inside is not None and inside.shape is Shape.STRUCT and name == "containers":
                yield from _crowds(kind, inside, here, seen | {id(schema)})
