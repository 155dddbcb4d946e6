from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN
from orchestrator.server.openapi import documents as sent
from orchestrator.server.openapi import v3

PATHS = list(codec.decode(sent.index(BUILT_IN)[0])["paths"])


def documents(path: str) -> Any:
    return codec.decode(v3.document(BUILT_IN, *v3.group_versions(BUILT_IN)[path]))


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(child) for child in value.values()))
    return set().union(*(references(child) for child in value)) if isinstance(value, list) else set()


def types(value: Any) -> list[Any]:
    if isinstance(value, dict):
        own = [value["type"]] if isinstance(value.get("type"), (str, list)) else []
        return own + [found for child in value.values() for found in types(child)]
    return [found for child in value for found in types(child)] if isinstance(value, list) else []


def test_the_index_leads_to_each_group_under_a_url_of_its_content() -> None:
    paths = codec.decode(sent.index(BUILT_IN)[0])["paths"]
    assert {"api/v1", "apis/apps/v1"} <= paths.keys()
    for path, entry in paths.items():
        assert entry["serverRelativeURL"] == f"/openapi/v3/{path}?hash={sent.tag_of_v3(BUILT_IN, path)}"


@pytest.mark.parametrize("path", PATHS)
def test_documents_are_whole(path: str) -> None:
    document = documents(path)
    schemas = document["components"]["schemas"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}
    assert b"$defs" not in codec.encode(document)
    assert all(isinstance(found, str) for found in types(schemas))


@pytest.mark.parametrize("path", PATHS)
def test_every_patch_takes_validation_and_dry_run(path: str) -> None:
    patches = [item["patch"] for item in documents(path)["paths"].values() if "patch" in item]
    for patch in patches:
        assert {"dryRun", "fieldValidation"} <= {parameter["name"] for parameter in patch["parameters"]}


def test_kinds_are_found_by_their_group_version_kind() -> None:
    document = documents("apis/apps/v1")
    item = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert item["patch"]["x-kubernetes-group-version-kind"] == kind
    deployment = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]
    assert deployment["x-kubernetes-group-version-kind"] == [kind]
    assert "enum" not in deployment["properties"]["kind"]
    scale = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["put"]["x-kubernetes-group-version-kind"]["group"] == "autoscaling"


def test_references_with_a_description_are_wrapped_as_kubernetes_does() -> None:
    pod = documents("api/v1")["components"]["schemas"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    spec = documents("api/v1")["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]
    assert spec["properties"]["containers"]["items"] == {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}
    assert spec["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"


def test_other_documents_are_not_there() -> None:
    assert sent.tag_of_v3(BUILT_IN, "apis/nope/v1") is None
    assert sent.tag_of_v3(BUILT_IN, "") is None


def test_documents_cover_what_discovery_lists() -> None:
    for group, version in [(name, one) for name in BUILT_IN.groups for one in BUILT_IN.versions(name)]:
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        assert (sent.tag_of_v3(BUILT_IN, path) is None) == (not BUILT_IN.of(group, version))


def test_operations_are_called_as_kubernetes_calls_them() -> None:
    for path, expected in {
        "/api/v1/pods": {"get": "listCoreV1PodForAllNamespaces"},
        "/api/v1/nodes/{name}": {
            "get": "readCoreV1Node",
            "put": "replaceCoreV1Node",
            "patch": "patchCoreV1Node",
            "delete": "deleteCoreV1Node",
        },
        "/api/v1/namespaces/{namespace}/pods": {
            "get": "listCoreV1NamespacedPod",
            "post": "createCoreV1NamespacedPod",
            "delete": "deleteCoreV1CollectionNamespacedPod",
        },
        "/api/v1/namespaces/{namespace}/pods/{name}/eviction": {"post": "createCoreV1NamespacedPodEviction"},
        "/api/v1/namespaces/{namespace}/pods/{name}/exec": {"get": "connectCoreV1GetNamespacedPodExec"},
        "/api/v1/namespaces/{namespace}/pods/{name}/log": {"get": "readCoreV1NamespacedPodLog"},
        "/api/v1/namespaces/{namespace}/pods/{name}/status": {
            "get": "readCoreV1NamespacedPodStatus",
            "put": "replaceCoreV1NamespacedPodStatus",
            "patch": "patchCoreV1NamespacedPodStatus",
        },
    }.items():
        item = documents("api/v1")["paths"][path]
        assert {method: item[method]["operationId"] for method in item if method != "parameters"} == expected
    every = [
        operation["operationId"]
        for path in PATHS
        for item in documents(path)["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(every) == len(set(every))
