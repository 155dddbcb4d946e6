"""OpenAPI v3 documents, one for each group and version, and their index with URLs that may be cached for ever.

A document holds the published definitions that the group's kinds reach, and the paths with what clients look for in
them: the kind of each operation, and the query parameters it takes. Documents are built when asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import Kind, Kinds, Subresource
from orchestrator.api.schema import definitions

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_PARAMETER_TYPES = {
    "allowWatchBookmarks": "boolean",
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "limit": "integer",
    "orphanDependents": "boolean",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}


def index(kinds: Kinds) -> bytes:
    """The body of `/openapi/v3`: for each group and version the URL of its document, which changes with its content."""
    return kinds.derived(_index)


def document(kinds: Kinds, group_version_path: str) -> tuple[bytes, str] | None:
    """The document of `api/v1` or `apis/GROUP/VERSION` and its entity tag (without quotes); None if there is none."""
    group_version = kinds.derived(_paths).get(group_version_path.strip("/"))
    if group_version is None:
        return None
    return kinds.derived(_document, *group_version), kinds.derived(_hash_of, *group_version)


def _index(kinds: Kinds) -> bytes:
    paths = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={kinds.derived(_hash_of, *group_version)}"}
        for path, group_version in kinds.derived(_paths).items()
    }
    return codec.encode({"paths": paths})


def _paths(kinds: Kinds) -> dict[str, tuple[str, str]]:
    return {
        f"apis/{group}/{version}" if group else f"api/{version}": (group, version)
        for group in kinds.groups
        for version in kinds.versions(group)
        if kinds.of(group, version)
    }


def _hash_of(kinds: Kinds, group: str, version: str) -> str:
    """Changes with everything a document is made of: the definitions, the group's rows, and this module."""
    rows = [
        (row.resource.plural, row.resource.kind, row.resource.namespaced, row.verbs, row.subresources, row.definition)
        for row in kinds.of(group, version)
    ]
    return hashlib.sha256(_sources() + repr(rows).encode()).hexdigest().upper()


@lru_cache(maxsize=1)
def _sources() -> bytes:
    return b"".join(_digest(path) for path in (definitions.path_of_definitions(), Path(__file__)))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _document(kinds: Kinds, group: str, version: str) -> bytes:
    rows = kinds.of(group, version)
    raw = definitions.raw_definitions(rows)
    paths: dict[str, Any] = {}
    for row in rows:
        paths |= _paths_of(row, raw)
    wanted = {name.decode() for name in _references(codec.encode(paths))} & raw.keys()
    schemas = {
        name: _published(codec.decode(bytes(raw[name])), top=True) for name in definitions.reachable(raw, wanted)
    }
    return codec.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _references(encoded: bytes) -> list[bytes]:
    return [part.split(b'"', 1)[0] for part in encoded.split(b"#/components/schemas/")[1:]]


def _published(described: dict[str, Any], *, top: bool = False) -> dict[str, Any]:
    """A definition in the dialect of Kubernetes' own documents: one type, and references with company in an `allOf`."""
    made: dict[str, Any] = {}
    for key, value in described.items():
        match key:
            case "type":
                made[key] = value if isinstance(value, str) else next(word for word in value if word != "null")
            case "$ref":
                reference = {"$ref": value.replace("#/$defs/", "#/components/schemas/")}
                made |= reference if len(described) == 1 else {"allOf": [reference]}
            case "properties":
                made[key] = {name: _published(field) for name, field in value.items()}
                if top:
                    # The file pins these two to the kind's own values, which `kubectl explain` would print as a choice.
                    for name in ("apiVersion", "kind"):
                        made[key].get(name, {}).pop("enum", None)
            case "items" | "additionalProperties" if isinstance(value, dict):
                made[key] = _published(value)
            case "oneOf" | "anyOf" | "allOf":
                made[key] = [_published(choice) for choice in value]
            case _:
                made[key] = value
    return made


def _paths_of(row: Kind, raw: Mapping[str, Any]) -> dict[str, Any]:
    resource = row.resource
    schema = definitions.name_of(row)
    collection = resource.path("{namespace}")
    item = f"{collection}/{{name}}"
    verbs = set(row.verbs)
    paths: dict[str, Any] = {collection: _collection(row, schema, verbs)}
    if resource.namespaced and "list" in verbs:
        paths[resource.path()] = {"get": _operation(row, "list", f"{schema}List", _LIST)}
    if "get" in verbs:
        paths[item] = _item(row, schema, verbs)
    for subresource in row.subresources:
        paths[f"{item}/{subresource.name}"] = _subresource(row, subresource, schema, raw)
    return {path: _with_path_parameters(path, operations) for path, operations in paths.items() if operations}


def _collection(row: Kind, schema: str, verbs: set[str]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    if "list" in verbs:
        operations["get"] = _operation(row, "list", f"{schema}List", _LIST)
    if "create" in verbs:
        operations["post"] = _operation(row, "post", schema, _WRITE, body=schema)
    if "deletecollection" in verbs:
        parameters = tuple(sorted({*_LIST, *_DELETE} - {"watch", "allowWatchBookmarks"}))
        operations["delete"] = _operation(
            row, "deletecollection", f"{_META}Status", parameters, body=f"{_META}DeleteOptions"
        )
    return operations


def _item(row: Kind, schema: str, verbs: set[str]) -> dict[str, Any]:
    operations = {"get": _operation(row, "get", schema, ())}
    if "update" in verbs:
        operations["put"] = _operation(row, "put", schema, _WRITE, body=schema)
    if "patch" in verbs:
        operations["patch"] = _operation(row, "patch", schema, (*_WRITE, "force"), body=f"{_META}Patch")
    if "delete" in verbs:
        operations["delete"] = _operation(row, "delete", f"{_META}Status", _DELETE, body=f"{_META}DeleteOptions")
    return operations


def _subresource(row: Kind, subresource: Subresource, schema: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    group, version = row.resource.group, row.resource.version
    if subresource.version:
        group, version = subresource.group, subresource.version
    spoken = definitions.definition_name(group, version, subresource.kind)
    if spoken not in raw or subresource.name == "log":
        # Streams: what passes is not JSON.
        return {"get": _operation(row, "connect" if subresource.name != "log" else "get", "", (), subresource)}
    operations: dict[str, Any] = {}
    if "get" in subresource.verbs:
        operations["get"] = _operation(row, "get", spoken, (), subresource)
    if "create" in subresource.verbs:
        operations["post"] = _operation(row, "post", spoken, _WRITE, subresource, body=spoken)
    if "update" in subresource.verbs:
        operations["put"] = _operation(row, "put", spoken, _WRITE, subresource, body=spoken)
    if "patch" in subresource.verbs:
        operations["patch"] = _operation(row, "patch", spoken, (*_WRITE, "force"), subresource, body=f"{_META}Patch")
    return operations


def _operation(
    row: Kind,
    action: str,
    answer: str,
    parameters: tuple[str, ...],
    subresource: Subresource | None = None,
    *,
    body: str = "",
) -> dict[str, Any]:
    resource = row.resource
    kind = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    if subresource is not None:
        kind["kind"] = subresource.kind
        if subresource.version:
            kind |= {"group": subresource.group, "version": subresource.version}
    content = (
        {"application/json": {"schema": _reference(answer)}} if answer else {"*/*": {"schema": {"type": "string"}}}
    )
    operation: dict[str, Any] = {
        "parameters": [_parameter(name) for name in parameters],
        "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    }
    if body:
        media = _PATCHES if action == "patch" else ("*/*",)
        operation["requestBody"] = {
            "content": {name: {"schema": _reference(body)} for name in media},
            "required": not action.startswith("delete"),
        }
    return operation


def _with_path_parameters(path: str, operations: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ("name", "namespace") if f"{{{name}}}" in path]
    shared = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return operations | {"parameters": [*shared, _parameter("pretty")]}


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": _PARAMETER_TYPES.get(name, "string")}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
