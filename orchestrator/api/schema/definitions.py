"""Loads Kubernetes' published definitions and keeps of them only what the served kinds need.

The file is read once, when the first schema is asked for; each definition is decoded on its own, only if a served kind
reaches it, and without its descriptions. Neither the file nor its decoded form is kept.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN, Kind
from orchestrator.api.resources import Resource
from orchestrator.api.schema.shapes import Schema, Shape

#: What requests carry besides the kinds of the table.
_BODIES = {
    "autoscaling/v1/Scale": "io.k8s.api.autoscaling.v1.Scale",
    "policy/v1/Eviction": "io.k8s.api.policy.v1.Eviction",
    "v1/Binding": "io.k8s.api.core.v1.Binding",
    "authentication.k8s.io/v1/TokenRequest": "io.k8s.api.authentication.v1.TokenRequest",
    "meta.k8s.io/v1/DeleteOptions": "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
}

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
#: Definitions whose published form does not say what they are on the wire.
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Shape.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Shape.INT_OR_STRING,
    f"{_META}Time": Shape.TIME,
    f"{_META}MicroTime": Shape.MICRO_TIME,
    f"{_META}FieldsV1": Shape.ANY,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": Shape.ANY,
}
_SCALARS = {
    ("string", ""): Shape.STRING,
    ("string", "byte"): Shape.BYTES,
    ("integer", "int32"): Shape.INT32,
    ("integer", ""): Shape.INT64,
    ("integer", "int64"): Shape.INT64,
    ("number", ""): Shape.NUMBER,
    ("number", "double"): Shape.NUMBER,
    ("boolean", ""): Shape.BOOLEAN,
}


class UnknownSchema(KeyError):
    """No definition is published for this kind: our table names something that Kubernetes does not have."""


def path_of_definitions() -> Path:
    """Where the installed definitions file is. (Importing its package would load far more than the file.)"""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("cannot find the package 'kubernetes-validate', which carries the API's definitions")
    return Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema/v1.36.0-local/_definitions.json"


class _File(msgspec.Struct, rename={"definitions": "$defs"}):
    definitions: dict[str, msgspec.Raw]


def raw_definitions(rows: Iterable[Kind] = ()) -> dict[str, msgspec.Raw]:
    """All published definitions, and those that these rows bring, by their long name, each still bytes."""
    raw = codec.decode_into(path_of_definitions().read_bytes(), _File).definitions
    for row in rows:
        if row.definition is not None:
            name = name_of(row)
            raw[name] = msgspec.Raw(codec.encode(_own(row, row.definition)))
            raw[f"{name}List"] = msgspec.Raw(codec.encode(_list_of(row, name)))
    return raw


def name_of(row: Kind) -> str:
    """The long name of a row's definition; a group's own name is turned round: `com.example.v1.Boat`."""
    resource = row.resource
    if row.definition is None:
        return definition_name(resource.group, resource.version, resource.kind)
    return ".".join((*reversed(resource.group.split(".")), resource.version, resource.kind))


def _own(row: Kind, definition: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of its objects, with what all objects have."""
    typed = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"#/$defs/{_META}ObjectMeta"},
    }
    return {
        **definition,
        "type": "object",
        "properties": {**definition.get("properties", {}), **typed},
        **_spoken_as(row),
    }


def _list_of(row: Kind, name: str) -> dict[str, Any]:
    properties = {
        "apiVersion": {"type": "string"},
        "items": {"type": "array", "items": {"$ref": f"#/$defs/{name}"}},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"#/$defs/{_META}ListMeta"},
    }
    return {"type": "object", "required": ["items"], "properties": properties, **_spoken_as(row, suffix="List")}


def _spoken_as(row: Kind, suffix: str = "") -> dict[str, Any]:
    resource = row.resource
    spoken = {"group": resource.group, "kind": resource.kind + suffix, "version": resource.version}
    return {"x-kubernetes-group-version-kind": [spoken]}


def definition_name(group: str, version: str, kind: str) -> str:
    """The long name of a kind's definition: `io.k8s.api.core.v1.Pod`."""
    package = group.removesuffix(".k8s.io").split(".")[0] if group else "core"
    return f"io.k8s.api.{package}.{version}.{kind}"


def schema_of(resource: Resource) -> Schema:
    """The schema of a served resource; raises `UnknownSchema`."""
    return schema_of_kind(resource.api_version, resource.kind)


def schema_of_kind(api_version: str, kind: str) -> Schema:
    """The schema of an `apiVersion` and `kind`, also of request bodies such as `Scale`; raises `UnknownSchema`."""
    try:
        return _schemas()[f"{api_version}/{kind}"]
    except KeyError:
        raise UnknownSchema(f"{api_version}/{kind}") from None


@lru_cache(maxsize=1)
def _schemas() -> Mapping[str, Schema]:
    wanted = {
        f"{row.resource.api_version}/{row.resource.kind}": definition_name(
            row.resource.group, row.resource.version, row.resource.kind
        )
        for row in BUILT_IN.rows
    }
    return compile_schemas(raw_definitions(), wanted | _BODIES)


def compile_schemas(raw: Mapping[str, msgspec.Raw], wanted: Mapping[str, str]) -> dict[str, Schema]:
    """Compile the definitions that `wanted` names (key: what to call it) and all that they reach."""
    compiler = _Compiler(raw)
    return {key: compiler.named(name) for key, name in wanted.items()}


class _Compiler:
    """Turns definitions into nodes, each definition and each plain scalar once."""

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self._raw = raw
        self._named: dict[str, Schema] = {}
        self._plain: dict[tuple[Any, ...], Schema] = {}

    def named(self, name: str) -> Schema:
        if name in self._named:
            return self._named[name]
        if name in _SPECIAL:
            self._named[name] = self._shared(_SPECIAL[name])
            return self._named[name]
        if name not in self._raw:
            raise UnknownSchema(name)
        definition = codec.decode(bytes(self._raw[name]))
        if "properties" not in definition:
            self._named[name] = self._field(definition)
            return self._named[name]
        schema = _empty_struct(definition, name=".".join(name.split(".")[-2:]))
        self._named[name] = schema  # before its properties: definitions may be recursive
        return self._filled(schema, definition)

    def _filled(self, schema: Schema, definition: Mapping[str, Any]) -> Schema:
        for field, described in definition["properties"].items():
            schema.properties[field] = self._field(described)
        return schema

    def _field(self, described: Mapping[str, Any]) -> Schema:
        strategies = (
            tuple(described.get("x-kubernetes-patch-strategy", "").split(","))
            if ("x-kubernetes-patch-strategy" in described)
            else ()
        )
        if reference := described.get("$ref"):
            return self._with_strategies(self.named(reference.removeprefix("#/$defs/")), strategies)
        shape = _type_of(described)
        if shape == "array":
            return Schema(
                Shape.LIST,
                items=self._field(described["items"]),
                list_type=described.get("x-kubernetes-list-type", ""),
                map_keys=tuple(described.get("x-kubernetes-list-map-keys", ())),
                merge_key=described.get("x-kubernetes-patch-merge-key", ""),
                patch_strategies=strategies,
            )
        if "properties" in described:
            return self._filled(_empty_struct(described), described)
        if shape == "object":
            values = described.get("additionalProperties")
            if not values:
                return self._shared(Shape.ANY)
            items = self._field(values)
            return Schema(Shape.MAP, items=self._shared(Shape.AMOUNT) if items.shape is Shape.QUANTITY else items)
        return self._shared(_SCALARS.get((shape, described.get("format", "")), Shape.ANY))

    def _with_strategies(self, schema: Schema, strategies: tuple[str, ...]) -> Schema:
        if not strategies or schema.shape is not Shape.STRUCT:
            return schema
        # The same struct (its properties are shared), merged in another way in this one field.
        return Schema(
            Shape.STRUCT,
            name=schema.name,
            properties=schema.properties,
            required=schema.required,
            patch_strategies=strategies,
        )

    def _shared(self, shape: Shape) -> Schema:
        return self._plain.setdefault((shape,), Schema(shape))


def _empty_struct(definition: Mapping[str, Any], name: str = "") -> Schema:
    return Schema(Shape.STRUCT, name=name, required=frozenset(definition.get("required", ())))


def _type_of(described: Mapping[str, Any]) -> str:
    types = described.get("type", "")
    if isinstance(types, str):
        return types
    return next((word for word in types if word != "null"), "")


def reachable(raw: Mapping[str, msgspec.Raw], names: Iterable[str]) -> list[str]:
    """The long names of all definitions that these reach, themselves included, in a stable order."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name not in raw:
            continue
        found[name] = None
        waiting.extend(reversed(references(bytes(raw[name]))))
    return sorted(found)


def references(definition: bytes) -> list[str]:
    """The long names that a definition, still bytes, refers to."""
    return [part.split(b'"', 1)[0].decode() for part in definition.split(b"#/$defs/")[1:]]
