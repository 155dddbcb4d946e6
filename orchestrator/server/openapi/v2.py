"""The OpenAPI v2 document: all that is served, in one. Older clients and generators of clients read it.

It is made of what the v3 documents are made of, said in the older dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import Kinds
from orchestrator.api.schema import definitions
from orchestrator.server.openapi.operations import paths_of

_V3, _V2, _RAW = "#/components/schemas/", "#/definitions/", "#/$defs/"
#: What the dialect has no alternatives for.
_EITHER = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
}
_METHODS = ("get", "put", "post", "delete", "patch")


def document(kinds: Kinds) -> dict[str, Any]:
    """The whole document as a value. Takes some hundred milliseconds."""
    raw = definitions.raw_definitions(kinds.rows)
    paths: dict[str, Any] = {}
    wanted: set[str] = set()
    for row in kinds.rows:
        for path, item in paths_of(row, raw).items():
            paths[path] = _path_item(item, wanted)
    names = definitions.reachable(raw, wanted & raw.keys())
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "definitions": {name: _definition(name, codec.decode(bytes(raw[name]))) for name in names},
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }


def _path_item(item: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    made: dict[str, Any] = {method: _operation(item[method], wanted) for method in _METHODS if method in item}
    return made | {"parameters": [_parameter(parameter) for parameter in item["parameters"]]}


def _operation(operation: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    made = {**operation, "schemes": ["https"], "consumes": ["*/*"], "produces": []}
    made["parameters"] = [_parameter(parameter) for parameter in operation["parameters"]]
    if (body := made.pop("requestBody", None)) is not None:
        made["consumes"] = list(body["content"])
        schema = _reference(next(iter(body["content"].values()))["schema"], wanted)
        made["parameters"].insert(0, {"name": "body", "in": "body", "required": body["required"], "schema": schema})
    made["responses"] = {}
    for status, response in operation["responses"].items():
        shown = made["responses"][status] = {"description": response["description"]}
        for media, content in response.get("content", {}).items():
            made["produces"].append(media)
            shown["schema"] = _reference(content["schema"], wanted)
    return made


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in parameter.items() if key != "schema"}
    return made | {"type": parameter["schema"]["type"], "uniqueItems": True}


def _reference(schema: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    if "$ref" not in schema:
        return dict(schema)
    name = schema["$ref"].removeprefix(_V3)
    wanted.add(name)
    return {"$ref": f"{_V2}{name}"}


def _definition(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    if (either := _EITHER.get(name)) is not None:
        return {**{key: value for key, value in described.items() if key == "description"}, **either}
    made = _schema(described)
    for field in ("apiVersion", "kind"):
        # The file pins these two to the kind's own values, which `kubectl explain` would print as a choice.
        made.get("properties", {}).get(field, {}).pop("enum", None)
    return made


def _schema(described: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in described.items():
        match key:
            case "type":
                made[key] = value if isinstance(value, str) else next(word for word in value if word != "null")
            case "$ref":
                made[key] = value.replace(_RAW, _V2)
            case "properties":
                made[key] = {name: _schema(field) for name, field in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                made[key] = _schema(value)
            case "allOf":
                made[key] = [_schema(choice) for choice in value]
            case "oneOf" | "anyOf" | "not" | "nullable" | "default":
                continue  # not of this dialect, or not told in it
            case _:
                made[key] = value
    return made
