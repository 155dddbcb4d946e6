"""Lists in pages and other forms, reviews, health: what is read over the wire."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from orchestrator.api.resources import (
    CONFIGMAPS,
    CORE_EVENTS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    Resource,
)
from orchestrator.machinery.client import Client
from tests.support.server import RunningServer, a_configmap, a_pod


async def test_pages_show_one_snapshot(client: Client) -> None:
    for number in range(5):
        await client.create(CONFIGMAPS, a_configmap(f"c{number}"), "default", into=bytes)
    first = await client.list(CONFIGMAPS, "default", into=dict, limit=2)
    assert first.continue_token
    await client.create(CONFIGMAPS, a_configmap("c1x"), "default", into=bytes)
    await client.delete(CONFIGMAPS, "c4", "default")
    second = await client.list(CONFIGMAPS, "default", into=dict, limit=2, continue_token=first.continue_token)
    third = await client.list(CONFIGMAPS, "default", into=dict, limit=2, continue_token=second.continue_token)
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page.items]
    assert names == [f"c{number}" for number in range(5)]
    assert {first.revision, second.revision, third.revision} == {first.revision}
    assert not third.continue_token


async def pages_of(running: RunningServer, query: dict[str, str]) -> list[dict[str, Any]]:
    """The pages of a list from the one that this query asks for on; the last may be a `Status`."""
    found: list[dict[str, Any]] = []
    headers = {"Authorization": "Bearer admin"}
    async with aiohttp.ClientSession(running.url, headers=headers) as session:
        while True:
            async with session.get(CONFIGMAPS.path("default"), params=query) as answer:
                found.append(await answer.json())
            token = found[-1]["metadata"].get("continue")
            if not token or found[-1]["kind"] == "Status":
                return found
            query = {**query, "continue": token}


@pytest.mark.parametrize("changes", [False, True], ids=["nothing-changes", "much-changes"])
async def test_an_expired_token_comes_with_a_fresh_one(running: RunningServer, client: Client, changes: bool) -> None:
    for number in range(7):
        await client.create(CONFIGMAPS, a_configmap(f"c{number}"), "default", into=bytes)
    first = await client.list(CONFIGMAPS, "default", into=dict, limit=2)
    if changes:
        await client.create(CONFIGMAPS, a_configmap("c3x"), "default", into=bytes)
        await client.delete(CONFIGMAPS, "c5", "default")
    # Also where nothing changed: a token is good for as long as the store keeps what was, no longer.
    await client.create(PODS, a_pod(), "default", into=bytes)
    await running.store.compact(await running.store.newest_revision())
    (expired,) = await pages_of(running, {"limit": "2", "continue": first.continue_token})
    assert (expired["code"], expired["reason"]) == (410, "Expired")
    assert expired["message"].startswith("The provided continue parameter is too old to display a consistent list")
    rest = await pages_of(running, {"limit": "2", "continue": expired["metadata"]["continue"]})
    names = [[item["metadata"]["name"] for item in page["items"]] for page in rest]
    assert names == ([["c2", "c3"], ["c3x", "c4"], ["c6"]] if changes else [["c2", "c3"], ["c4", "c5"], ["c6"]])
    # The rest is one snapshot again, of a later moment, and counted exactly.
    assert {page["metadata"]["resourceVersion"] for page in rest} == {str(running.cache.revision)}
    assert running.cache.revision > first.revision
    assert [page["metadata"].get("remainingItemCount") for page in rest] == [3, 1, None]


async def test_an_exact_version_that_is_forgotten_is_gone(running: RunningServer, client: Client) -> None:
    first = await client.create(CONFIGMAPS, a_configmap("a"), "default", into=dict)
    await client.create(CONFIGMAPS, a_configmap("b"), "default", into=bytes)
    await running.store.compact(await running.store.newest_revision())
    query = {"resourceVersion": first["metadata"]["resourceVersion"], "resourceVersionMatch": "Exact"}
    (expired,) = await pages_of(running, query)
    assert (expired["code"], expired["reason"], expired["metadata"]) == (410, "Expired", {})
    assert expired["message"] == "The resourceVersion for the provided list is too old."


async def test_pages_are_counted_while_the_collection_changes(running: RunningServer, client: Client) -> None:
    for number in range(5):
        await client.create(CONFIGMAPS, a_configmap(f"c{number}"), "default", into=bytes)
    first = await client.list(CONFIGMAPS, "default", into=dict, limit=2)
    await client.create(CONFIGMAPS, a_configmap("c2x"), "default", into=bytes)
    await client.delete(CONFIGMAPS, "c4", "default")
    second, third = await pages_of(running, {"limit": "2", "continue": first.continue_token})
    assert [page["metadata"].get("remainingItemCount") for page in (second, third)] == [1, None]


async def get_as(running: RunningServer, path: str, accept: str) -> Any:
    headers = {"Authorization": "Bearer admin", "Accept": accept}
    async with aiohttp.ClientSession(running.url, headers=headers) as session, session.get(path) as answer:
        return await answer.json()


async def test_tables_and_metadata_only(running: RunningServer, client: Client) -> None:
    await client.create(PODS, a_pod(), "default", into=bytes)
    table = await get_as(running, PODS.path("default"), "application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][0] == "web"
    form = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = await get_as(running, PODS.path("default"), form)
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_metadata_of_a_list_is_another_form_than_that_of_an_object(
    running: RunningServer, client: Client
) -> None:
    await client.create(PODS, a_pod(), "default", into=bytes)
    of_one = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    of_many = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    for path, accept, words in (
        (PODS.path("default"), of_one, "you requested PartialObjectMetadata, but the requested object is a list"),
        (PODS.path("default", "web"), of_many, "PartialObjectMetadataList, but the requested object is not a list"),
    ):
        status = await get_as(running, path, accept)
        assert (status["code"], status["reason"]) == (406, "NotAcceptable")
        assert words in status["message"]
    assert (await get_as(running, PODS.path("default", "web"), of_one))["metadata"]["name"] == "web"


async def test_a_scale_is_a_table_with_columns_of_its_own(running: RunningServer, client: Client) -> None:
    """What `kubectl get deployment d --subresource=scale` prints."""
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1.16"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "d"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    made = await client.create(DEPLOYMENTS, deployment, "default", into=dict)
    path = DEPLOYMENTS.path("default", "d", "scale")
    table = await get_as(running, path, "application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:3] == ["d", 2, 0]
    assert row["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert table["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    partial = await get_as(running, path, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "d")


@pytest.mark.parametrize("query", ["", "&watch=true&timeoutSeconds=1"])
async def test_a_table_with_a_word_that_means_nothing_is_refused(running: RunningServer, query: str) -> None:
    path = f"{PODS.path('default')}?includeObject=Everything{query}"
    status = await get_as(running, path, "application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert 'includeObject: Invalid value: "Everything": must be' in status["message"]


async def test_version_health_and_metrics(running: RunningServer, client: Client) -> None:
    assert json.loads(await client.request("GET", "/version"))["minor"] == "36"
    for path in ("/healthz", "/livez", "/readyz"):
        assert await client.request("GET", path) == b"ok"
    assert b"[+]cache ok" in await client.request("GET", "/readyz", query={"verbose": ""})
    assert b"wherry_api_requests_total" in await client.request("GET", "/metrics")


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        pytest.param({"resourceVersion": "x"}, 400, "resourceVersion", id="version-is-a-number"),
        pytest.param({"resourceVersionMatch": "Exact"}, 422, "unless resourceVersion is provided", id="match-alone"),
        pytest.param({"resourceVersionMatch": "Sort", "resourceVersion": "1"}, 422, "Unsupported", id="unknown-match"),
        pytest.param({"limit": "many"}, 400, 'strconv.ParseInt: parsing "many"', id="limit-is-a-number"),
        pytest.param({"continue": "%%"}, 400, "continue key is not valid", id="token-of-nobody"),
        pytest.param({"labelSelector": "a in"}, 400, "", id="label-selector"),
        pytest.param(
            {"fieldSelector": "spec.colour=red"}, 400, "field label not supported: spec.colour", id="unknown-field"
        ),
        pytest.param(
            {"watch": "1", "timeoutSeconds": "long"}, 400, 'strconv.ParseInt: parsing "long"', id="watch-timeout"
        ),
        pytest.param({"watch": "1", "sendInitialEvents": "true"}, 422, "resourceVersionMatch", id="streamed-list"),
    ],
)
async def test_parameters_that_make_no_sense(
    running: RunningServer, query: dict[str, str], code: int, words: str
) -> None:
    headers = {"Authorization": "Bearer admin"}
    async with (
        aiohttp.ClientSession(running.url, headers=headers) as session,
        session.get(PODS.path("default"), params=query) as answer,
    ):
        assert answer.status == code
        assert words in (await answer.json())["message"]


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        pytest.param(PODS, "field label not supported: foo", id="a-kind-with-fields-of-its-own"),
        pytest.param(
            CONFIGMAPS,
            '"foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
            id="a-kind-without",
        ),
    ],
)
async def test_a_field_that_is_not_selectable_is_named_and_kubectl_says_the_rest(
    running: RunningServer, resource: Resource, message: str
) -> None:
    async with (
        aiohttp.ClientSession(running.url, headers={"Authorization": "Bearer admin"}) as session,
        session.get(resource.path("default"), params={"fieldSelector": "foo=bar"}) as answer,
    ):
        assert (answer.status, (await answer.json())["message"]) == (400, message)


async def test_an_exact_version_shows_what_there_was(running: RunningServer, client: Client) -> None:
    first = await client.create(CONFIGMAPS, a_configmap("a"), "default", into=dict)
    await client.create(CONFIGMAPS, a_configmap("b"), "default", into=bytes)
    query = {"resourceVersion": first["metadata"]["resourceVersion"], "resourceVersionMatch": "Exact"}
    listing = json.loads(await client.request("GET", CONFIGMAPS.path("default"), query=query))
    assert listing["items"] == [first]
    assert listing["metadata"]["resourceVersion"] == query["resourceVersion"]


async def test_events_of_both_groups_are_the_same_events(client: Client) -> None:
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    core = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e1"},
        "involvedObject": about,
        "reason": "Started",
        "message": "it runs",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "source": {"component": "kubelet"},
    }
    await client.create(CORE_EVENTS, core, "default", into=bytes)
    seen = await client.get(EVENTS, "e1", "default", into=dict)
    assert seen["apiVersion"] == "events.k8s.io/v1"
    assert (seen["regarding"], seen["note"]) == (about, "it runs")
    selected = await client.list(CORE_EVENTS, "default", into=dict, field_selector="involvedObject.name=p")
    assert len(selected.items) == 1
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e2"},
        "regarding": about,
        "reason": "Scheduled",
        "action": "Binding",
        "note": "assigned",
        "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "scheduler",
        "reportingInstance": "s1",
    }
    await client.create(EVENTS, new, "default", into=bytes)
    assert (await client.get(CORE_EVENTS, "e2", "default", into=dict))["message"] == "assigned"


async def test_reviews_answer_and_store_nothing(running: RunningServer, client: Client) -> None:
    async def may(user: str, verb: str) -> bool:
        spec = {"user": user, "resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = json.loads(await client.request("POST", path, body=json.dumps(body).encode()))
        return bool(answer["status"]["allowed"])

    assert await may("system:kube-scheduler", "list")
    assert not await may("somebody", "list")
    body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"scheduler"}}'
    review = json.loads(await client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body))
    assert review["status"]["user"]["username"] == "system:kube-scheduler"
    with pytest.raises(Exception, match="does not allow this method"):
        await client.request("GET", "/apis/authentication.k8s.io/v1/tokenreviews")
