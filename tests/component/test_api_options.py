"""Options of writes over the wire: a trial changes nothing, whatever the door; no number makes an object stay."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from orchestrator.api import codec
from orchestrator.api.resources import CONFIGMAPS, DEPLOYMENTS, LEASES, NAMESPACES, NODES, PODS, SERVICEACCOUNTS
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, BadRequest, Conflict, Invalid, MethodNotAllowed, NotFound
from orchestrator.server.admission.base import Objects
from orchestrator.server.requests import Request
from tests.support.server import RunningServer, a_configmap, a_pod, a_running_server

SCALE: dict[str, Any] = {
    "apiVersion": "autoscaling/v1",
    "kind": "Scale",
    "metadata": {"name": "d"},
    "spec": {"replicas": 9},
}
BINDING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Binding",
    "metadata": {"name": "p"},
    "target": {"kind": "Node", "name": "n1"},
}
EVICTION: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
TOKEN: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
MERGE = "application/merge-patch+json"
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}
REVIEW: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
BOUND = {"status": {"phase": "Running"}}
LABEL = {"metadata": {"labels": {"a": "b"}}}

#: Every way to write there is.
WRITES = [
    pytest.param("POST", CONFIGMAPS.path("default"), a_configmap(a="1") | {"metadata": {"name": "new"}}, id="create"),
    pytest.param("PUT", CONFIGMAPS.path("default", "c"), a_configmap(a="2"), id="update"),
    pytest.param("PATCH", CONFIGMAPS.path("default", "c"), LABEL, id="patch"),
    pytest.param("DELETE", CONFIGMAPS.path("default", "c"), None, id="delete"),
    pytest.param("DELETE", CONFIGMAPS.path("default"), None, id="deletecollection"),
    pytest.param("PATCH", PODS.path("default", "p", "status"), BOUND, id="status"),
    pytest.param("PUT", DEPLOYMENTS.path("default", "d", "scale"), SCALE, id="scale"),
    pytest.param("PATCH", DEPLOYMENTS.path("default", "d", "scale"), {"spec": {"replicas": 9}}, id="scale-by-patch"),
    pytest.param("POST", PODS.path("default", "p", "binding"), BINDING, id="binding"),
    pytest.param("POST", PODS.path("default", "p", "eviction"), EVICTION, id="eviction"),
    pytest.param("PUT", NAMESPACES.path("", "default", "finalize"), {"metadata": {"name": "default"}}, id="finalize"),
]


async def send(client: Client, method: str, path: str, body: Any) -> bytes:
    kind = MERGE if method == "PATCH" else "application/json"
    path, _, query = path.partition("?")
    data = codec.encode(body) if body is not None else None
    return await client.request(method, path, query=dict(parse_qsl(query)), body=data, content_type=kind)


async def everything(client: Client) -> list[Any]:
    found = []
    for resource in (CONFIGMAPS, DEPLOYMENTS, PODS):
        found.append((await client.list(resource, "default", into=dict)).items)
    return [*found, (await client.list(NAMESPACES, into=dict)).items]


@pytest.fixture
async def admin(api_server: RunningServer) -> Any:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap(a="1"), "default", into=bytes)
        await client.create(PODS, a_pod("p"), "default", into=bytes)
        await client.create(DEPLOYMENTS, DEPLOYMENT, "default", into=bytes)
        yield client


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_trial_changes_nothing_through_any_door(admin: Client, method: str, path: str, body: Any) -> None:
    before = await everything(admin)
    await send(admin, method, f"{path}?dryRun=All", body)
    assert await everything(admin) == before


@pytest.mark.parametrize(("method", "path", "body"), [*WRITES, pytest.param("POST", REVIEWS, REVIEW, id="review")])
async def test_a_dry_run_that_means_nothing_is_refused_through_every_door(
    admin: Client, method: str, path: str, body: Any
) -> None:
    before = await everything(admin)
    with pytest.raises(Invalid, match=r'dryRun: Unsupported value: \["foo"\]: supported values: "All"') as refused:
        await send(admin, method, f"{path}?dryRun=foo", body)
    verb = {"POST": "Create", "PUT": "Update", "PATCH": "Patch", "DELETE": "Delete"}[method]
    assert refused.value.details["kind"] == f"{verb}Options"
    assert await everything(admin) == before


@pytest.mark.parametrize("grace_s", [99_999_999_999_999, 2**63 - 1])
async def test_a_pod_can_be_deleted_and_listed_whatever_grace_it_was_given(admin: Client, grace_s: int) -> None:
    await admin.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}, into=bytes)
    patient = a_pod("patient")
    patient["spec"]["terminationGracePeriodSeconds"] = grace_s
    await admin.create(PODS, patient, "default", into=bytes)
    for name, query in (("p", f"?gracePeriodSeconds={grace_s}"), ("patient", "")):
        body = {**BINDING, "metadata": {"name": name}}
        await send(admin, "POST", PODS.path("default", name, "binding"), body)
        await send(admin, "DELETE", PODS.path("default", name) + query, None)
        meta = (await admin.get(PODS, name, "default", into=dict))["metadata"]
        assert meta["deletionTimestamp"] < "2200"
        assert meta["deletionGracePeriodSeconds"] == 2**31 - 1
        await send(admin, "DELETE", PODS.path("default", name) + "?gracePeriodSeconds=0", None)
        with pytest.raises(NotFound):
            await admin.get(PODS, name, "default", into=dict)


@pytest.mark.parametrize("revision", ["0", ""])
async def test_an_update_at_revision_zero_is_unconditional(admin: Client, revision: str) -> None:
    body = a_configmap(a="2")
    body["metadata"]["resourceVersion"] = revision
    await send(admin, "PUT", CONFIGMAPS.path("default", "c"), body)
    assert (await admin.get(CONFIGMAPS, "c", "default", into=dict))["data"] == {"a": "2"}
    await send(
        admin, "PATCH", CONFIGMAPS.path("default", "c"), {"metadata": {"resourceVersion": "0"}, "data": {"b": "3"}}
    )
    body["metadata"] |= {"name": "d", "resourceVersion": "0"}
    await admin.create(CONFIGMAPS, body, "default", into=bytes)
    body["metadata"] |= {"name": "e", "resourceVersion": "1"}
    with pytest.raises(ApiError, match="resourceVersion should not be set on objects to be created"):
        await admin.create(CONFIGMAPS, body, "default", into=bytes)


async def test_a_namespace_on_what_has_none_is_cleared(admin: Client) -> None:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "namespace": "default"}}
    created = await admin.create(NODES, body, into=dict)
    assert "namespace" not in created["metadata"]
    body["metadata"]["labels"] = {"a": "b"}
    updated = await admin.update(NODES, "n1", body, into=dict)
    assert updated["metadata"]["labels"] == {"a": "b"}
    assert "namespace" not in updated["metadata"]
    await send(admin, "PATCH", NODES.path("", "n1"), {"metadata": {"namespace": "default"}})
    assert "namespace" not in (await admin.get(NODES, "n1", into=dict))["metadata"]


async def test_a_token_is_asked_for_with_options_that_mean_something(admin: Client) -> None:
    with pytest.raises(Invalid, match="dryRun: Unsupported value"):
        await send(admin, "POST", SERVICEACCOUNTS.path("default", "default", "token") + "?dryRun=foo", TOKEN)


#: Every way to send a body to an object that is there, and a body of the sort.
TO_ONE = [
    pytest.param("PUT", CONFIGMAPS.path("default", "c"), a_configmap(a="2"), id="update"),
    pytest.param("PATCH", CONFIGMAPS.path("default", "c"), LABEL, id="patch"),
    pytest.param("PATCH", PODS.path("default", "p", "status"), BOUND, id="status"),
    pytest.param("PUT", DEPLOYMENTS.path("default", "d", "scale"), SCALE, id="scale"),
    pytest.param("PATCH", DEPLOYMENTS.path("default", "d", "scale"), {"spec": {"replicas": 9}}, id="scale-patch"),
    pytest.param("POST", PODS.path("default", "p", "binding"), BINDING, id="binding"),
    pytest.param("POST", PODS.path("default", "p", "eviction"), EVICTION, id="eviction"),
]


@pytest.mark.parametrize(
    ("meant", "why"),
    [
        pytest.param(
            {"name": "other"},
            r"the name of the object \(other\) does not match the name on the URL \(.\)|"
            "name in URL does not match name in (Binding|Eviction) object",
            id="name",
        ),
        pytest.param(
            {"namespace": "kube-system"},
            "the namespace of the provided object does not match the namespace sent on the request",
            id="namespace",
        ),
    ],
)
@pytest.mark.parametrize(("method", "path", "body"), TO_ONE)
async def test_a_body_that_is_meant_for_another_object_changes_nothing(
    api_server: RunningServer, method: str, path: str, body: dict[str, Any], meant: dict[str, str], why: str
) -> None:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap(a="1"), "default", into=bytes)
        await client.create(PODS, a_pod("p"), "default", into=bytes)
        await client.create(DEPLOYMENTS, DEPLOYMENT, "default", into=bytes)
        before = await api_server.store.newest_revision()
        sent = codec.encode({**body, "metadata": {**body.get("metadata", {}), **meant}})
        with pytest.raises(BadRequest, match=why):
            await client.request(method, path, body=sent, content_type=MERGE if method == "PATCH" else "")
        assert await api_server.store.newest_revision() == before


async def test_an_update_of_an_object_that_is_gone_creates_no_namesake_of_the_one_that_was_meant(
    api_server: RunningServer,
) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "uid": "u"}, "spec": {}}
    async with api_server.client() as client:
        with pytest.raises(Conflict, match="Precondition failed: UID in precondition: u, UID in object meta: "):
            await client.update(LEASES, "l", lease, "default", into=bytes)
        with pytest.raises(NotFound):
            await client.get(LEASES, "l", "default", into=bytes)


async def test_when_an_object_goes_is_no_clients_to_say(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        body = a_pod("p", nodeName="n1")
        await client.create(PODS, body, "default", into=bytes)
        await client.delete(PODS, "p", "default", grace_s=60)
        seen = await client.get(PODS, "p", "default", into=dict)
        await client.delete(PODS, "p", "default", grace_s=5)
        hastened = (await client.get(PODS, "p", "default", into=dict))["metadata"]
        del seen["metadata"]["resourceVersion"]
        seen["metadata"]["annotations"] = {"a": "b"}
        after = (await client.update(PODS, "p", seen, "default", into=dict))["metadata"]
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            assert after[field] == hastened[field]


@pytest.mark.parametrize(
    ("method", "subresource"), [("POST", "log"), ("DELETE", "exec"), ("PUT", "attach"), ("PATCH", "portforward")]
)
async def test_nothing_is_handed_on_to_a_node_with_a_verb_that_it_has_not(method: str, subresource: str) -> None:
    async def forward(_: web.BaseRequest, request: Request, objects: Objects) -> web.StreamResponse:
        raise AssertionError("handed on")

    async with a_running_server(forward=forward) as server, server.client() as client:
        await client.create(PODS, a_pod("p"), "default", into=bytes)
        with pytest.raises(MethodNotAllowed):
            await client.request(method, PODS.path("default", "p", subresource), body=b"{}")


@pytest.mark.parametrize("path", [CONFIGMAPS.path("default", "c"), CONFIGMAPS.path("default")], ids=["one", "all"])
async def test_a_deletion_whose_body_is_something_else_deletes_nothing(api_server: RunningServer, path: str) -> None:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap(a="1"), "default", into=bytes)
        with pytest.raises(BadRequest, match="decoded object cannot be converted to DeleteOptions"):
            await client.request("DELETE", path, body=codec.encode(a_configmap()))
        await client.request("DELETE", path, body=b'{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1"}')
        assert (await client.list(CONFIGMAPS, "default", into=bytes)).items == ()
