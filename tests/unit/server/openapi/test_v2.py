"""The OpenAPI v2 document says what the v3 documents say, in the older dialect."""

from __future__ import annotations

from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN
from orchestrator.server.openapi import documents as sent
from orchestrator.server.openapi import v2, v3

DOCUMENT = v2.document(BUILT_IN)
V3 = [codec.decode(v3.document(BUILT_IN, *one)) for one in v3.group_versions(BUILT_IN).values()]
METHODS = ("get", "put", "post", "delete", "patch")


def everything(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for child in value.values() for found in everything(child))]
    return [found for child in value for found in everything(child)] if isinstance(value, list) else []


def test_it_has_every_operation_and_every_definition_of_the_v3_documents() -> None:
    operations = {
        (path, method): item[method]["operationId"]
        for document in V3
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }
    assert {
        (path, method): item[method]["operationId"]
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item
    } == operations
    assert DOCUMENT["definitions"].keys() == {name for one in V3 for name in one["components"]["schemas"]}


def test_its_references_lead_somewhere() -> None:
    references = {value["$ref"] for value in everything(DOCUMENT) if isinstance(value.get("$ref"), str)}
    assert references <= {f"#/definitions/{name}" for name in DOCUMENT["definitions"]}
    assert b"$defs" not in codec.encode(DOCUMENT)
    assert b"#/components" not in codec.encode(DOCUMENT)


def test_it_keeps_to_its_dialect() -> None:
    for schema in everything(DOCUMENT["definitions"]):
        assert not {"oneOf", "anyOf", "nullable"} & {key for key in schema if not isinstance(schema[key], dict)}
        assert not isinstance(schema.get("type"), list)
    assert DOCUMENT["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] == "string"
    port = DOCUMENT["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert port == {"type": "string", "format": "int-or-string"}
    pod = DOCUMENT["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    assert "enum" not in pod["properties"]["kind"]


def test_bodies_and_answers_are_parameters_and_schemas() -> None:
    item = DOCUMENT["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert [(one["name"], one["in"]) for one in item["parameters"]] == [
        ("name", "path"),
        ("namespace", "path"),
        ("pretty", "query"),
    ]
    assert item["parameters"][0] == {
        "name": "name",
        "in": "path",
        "required": True,
        "type": "string",
        "uniqueItems": True,
    }
    patch = item["patch"]
    assert patch["parameters"][0]["in"] == "body"
    assert patch["consumes"] == [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ]
    assert patch["responses"]["200"]["schema"] == {"$ref": "#/definitions/io.k8s.api.apps.v1.Deployment"}
    assert {"dryRun", "fieldValidation"} <= {parameter["name"] for parameter in patch["parameters"]}


def test_its_tag_changes_with_the_kinds_and_the_form() -> None:
    fewer = BUILT_IN.replaced(drop=[BUILT_IN.rows[-1].resource])
    tags = [sent.tag_of_v2(kinds, form) for kinds in (BUILT_IN, fewer) for form in ("json", "protobuf")]
    assert len(set(tags)) == 4
    assert sent.tag_of_v2(fewer.replaced(put=[BUILT_IN.rows[-1]]), "json") == tags[0]
