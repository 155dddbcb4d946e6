from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN
from orchestrator.server import discovery

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"


def answer(path: str, accept: str = "application/json") -> Any:
    found = discovery.respond(BUILT_IN, path, accept)
    assert found is not None
    return codec.decode(found.body)


def test_the_legacy_documents() -> None:
    assert answer("/api")["versions"] == ["v1"]
    groups = answer("/apis")["groups"]
    assert [group["name"] for group in groups][:2] == ["apps", "events.k8s.io"]
    assert {row.resource.group for row in BUILT_IN.rows} - {""} <= {group["name"] for group in groups}
    assert answer("/apis/apps") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "apps",
        "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
    }


def test_a_groups_resources_with_their_subresources() -> None:
    listed = answer("/apis/apps/v1")
    assert listed["groupVersion"] == "apps/v1"
    by_name = {resource["name"]: resource for resource in listed["resources"]}
    assert by_name["deployments"] == {
        "name": "deployments",
        "singularName": "deployment",
        "namespaced": True,
        "kind": "Deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
        "storageVersionHash": "8aSe+NMegvE=",
    }
    assert by_name["deployments/scale"] == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }


def test_kubectl_drain_finds_the_eviction_subresource() -> None:
    by_name = {resource["name"]: resource for resource in answer("/api/v1")["resources"]}
    assert (by_name["pods/eviction"]["group"], by_name["pods/eviction"]["version"]) == ("policy", "v1")
    assert "policy" in {group["name"] for group in answer("/apis")["groups"]}
    assert answer("/apis/policy/v1")["resources"] == []


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (V2, "v2"),
        (V2BETA1, "v2beta1"),
        (f"{V2},{V2BETA1},application/json", "v2"),
        (f"application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io , {V2BETA1}", "v2"),
        (f"application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,{V2BETA1}", "v2beta1"),
        (f"application/json,{V2}", ""),
        ("application/json", ""),
        ("*/*", ""),
        ("", ""),
        ("text/html", ""),
    ],
)
def test_the_client_chooses_the_form(accept: str, version: str) -> None:
    found = discovery.respond(BUILT_IN, "/apis", accept)
    assert found is not None
    body, content_type, tag = found
    assert bool(tag) == bool(version)
    assert codec.decode(body)["kind"] == ("APIGroupDiscoveryList" if version else "APIGroupList")
    assert content_type == (
        f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        if version
        else "application/json"
    )


def test_the_aggregated_document_says_what_the_legacy_ones_say() -> None:
    for path, prefix in (("/api", "/api"), ("/apis", "/apis")):
        for group in answer(path, V2)["items"]:
            name = group["metadata"].get("name", "")
            legacy = answer(f"{prefix}/{name}/v1".replace("//", "/"))["resources"]
            (version,) = group["versions"]
            told = []
            for resource in version["resources"]:
                told.append((resource["resource"], resource["responseKind"]["kind"], resource["verbs"]))
                told += [
                    (f"{resource['resource']}/{sub['subresource']}", sub["responseKind"]["kind"], sub["verbs"])
                    for sub in resource.get("subresources", ())
                ]
            assert told == [(entry["name"], entry["kind"], entry["verbs"]) for entry in legacy]


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v2", "/apis/apps/v1beta1", "/apis/nope", "/apis/nope/v1", "/apis//v1", "/version", "/api/v1/pods"],
)
def test_other_paths_are_not_discoverys(path: str) -> None:
    assert discovery.respond(BUILT_IN, path, "") is None


def test_a_trailing_slash_changes_nothing() -> None:
    assert discovery.respond(BUILT_IN, "/apis/", "") == discovery.respond(BUILT_IN, "/apis", "")
