"""OpenAPI v3 documents, one for each group and version, and their index with URLs that may be cached for ever.

A document holds the definitions that the group's kinds reach, and the paths of its kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import Kinds
from orchestrator.api.schema import definitions
from orchestrator.server.openapi.operations import paths_of


def group_versions(kinds: Kinds) -> Mapping[str, tuple[str, str]]:
    """The documents there are: their path below `/openapi/v3`, and the group and version of each."""
    return {
        f"apis/{group}/{version}" if group else f"api/{version}": (group, version)
        for group in kinds.groups
        for version in kinds.versions(group)
        if kinds.of(group, version)
    }


def document(kinds: Kinds, group: str, version: str) -> bytes:
    """The document of a group's version. Takes tens of milliseconds."""
    rows = kinds.of(group, version)
    raw = definitions.raw_definitions(rows)
    paths: dict[str, Any] = {}
    for row in rows:
        paths |= paths_of(row, raw)
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
