"""Objects over the wire: create, read, change, delete, and the refusals on the way."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.api.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICECIDRS,
    SERVICES,
)
from orchestrator.machinery.client import JSON_PATCH, STRATEGIC_PATCH, Client
from orchestrator.machinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)
from orchestrator.server import metrics
from orchestrator.server.authorization.base import ALLOW, NO_OPINION, Attributes, Verdict
from tests.support.server import RunningServer, a_configmap, a_pod, a_running_server


async def test_a_created_pod_is_defaulted_and_reads_back_the_same(client: Client) -> None:
    created = await client.create(PODS, a_pod(), "default", into=dict)
    assert created["metadata"]["namespace"] == "default"
    assert created["metadata"]["uid"]
    assert created["metadata"]["resourceVersion"]
    assert created["metadata"]["generation"] == 1
    assert created["spec"]["restartPolicy"] == "Always"
    assert created["status"]["phase"] == "Pending"
    assert await client.get(PODS, "web", "default", into=dict) == created
    listing = await client.list(PODS, "default", into=dict)
    assert listing.items == (created,)
    assert listing.revision >= int(created["metadata"]["resourceVersion"])


async def test_a_taken_name_is_refused_in_kubernetes_words(client: Client) -> None:
    await client.create(PODS, a_pod(), "default", into=bytes)
    with pytest.raises(AlreadyExists, match=r'^pods "web" already exists$'):
        await client.create(PODS, a_pod(), "default", into=bytes)


async def test_generated_names_are_filled_in(client: Client) -> None:
    body = a_configmap()
    body["metadata"] = {"generateName": "made-"}
    names = {(await client.create(CONFIGMAPS, body, "default", into=dict))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("made-") and len(name) == 10 for name in names)


async def test_missing_objects_and_namespaces_are_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match=r'^pods "x" not found$'):
        await client.get(PODS, "x", "default", into=bytes)
    with pytest.raises(NotFound, match=r'^deployments.apps "x" not found$'):
        await client.delete(DEPLOYMENTS, "x", "default")
    with pytest.raises(NotFound, match=r'^namespaces "nowhere" not found$'):
        await client.create(PODS, a_pod(), "nowhere", into=bytes)


async def test_an_update_must_start_from_the_newest_version(client: Client) -> None:
    first = await client.create(CONFIGMAPS, a_configmap(k="1"), "default", into=dict)
    second = await client.update(CONFIGMAPS, "c", {**first, "data": {"k": "2"}}, "default", into=dict)
    assert second["data"] == {"k": "2"}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    with pytest.raises(
        Conflict, match=r'Operation cannot be fulfilled on configmaps "c": the object has been modified;'
    ):
        await client.update(CONFIGMAPS, "c", {**first, "data": {"k": "3"}}, "default", into=dict)
    unconditional = await client.update(CONFIGMAPS, "c", a_configmap(k="4"), "default", into=dict)
    assert unconditional["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]


async def test_an_update_that_changes_nothing_writes_nothing(client: Client) -> None:
    first = await client.create(CONFIGMAPS, a_configmap(k="1"), "default", into=dict)
    again = await client.update(CONFIGMAPS, "c", a_configmap(k="1"), "default", into=dict)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_patches_of_every_sort(client: Client) -> None:
    await client.create(CONFIGMAPS, a_configmap(a="1", b="2"), "default", into=bytes)
    merged = await client.patch(CONFIGMAPS, "c", {"data": {"a": None, "c": "3"}}, "default", into=dict)
    assert merged["data"] == {"b": "2", "c": "3"}
    operations = [{"op": "replace", "path": "/data/b", "value": "9"}]
    patched = await client.patch(CONFIGMAPS, "c", operations, "default", into=dict, patch_type=JSON_PATCH)
    assert patched["data"] == {"b": "9", "c": "3"}
    await client.create(PODS, a_pod(), "default", into=bytes)
    image = {"spec": {"containers": [{"name": "c", "image": "nginx:1.17"}]}}
    pod = await client.patch(PODS, "web", image, "default", into=dict, patch_type=STRATEGIC_PATCH)
    assert [container["image"] for container in pod["spec"]["containers"]] == ["nginx:1.17"]
    assert pod["metadata"]["generation"] == 2


async def test_many_patches_at_once_lose_nothing(client: Client) -> None:
    await client.create(CONFIGMAPS, a_configmap(), "default", into=bytes)
    await asyncio.gather(
        *(client.patch(CONFIGMAPS, "c", {"data": {f"k{n}": "v"}}, "default", into=bytes) for n in range(12))
    )
    result = await client.get(CONFIGMAPS, "c", "default", into=dict)
    assert set(result["data"]) == {f"k{n}" for n in range(12)}


async def test_a_condition_without_a_reason_is_stored_with_an_empty_one(client: Client) -> None:
    cidr = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/16"]}}
    await client.create(SERVICECIDRS, cidr, into=bytes)
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"status": {"conditions": [ready]}}
    changed = await client.patch(SERVICECIDRS, "more", status, into=dict, subresource="status")
    assert changed["status"]["conditions"] == [{**ready, "reason": "", "message": ""}]


async def test_status_and_spec_are_written_apart(client: Client) -> None:
    pod = await client.create(PODS, a_pod(), "default", into=dict)
    running_status = {"status": {**pod["status"], "phase": "Running"}, "spec": {"nodeName": "sneaky"}}
    changed = await client.patch(PODS, "web", running_status, "default", into=dict, subresource="status")
    assert changed["status"]["phase"] == "Running"
    assert "nodeName" not in changed["spec"]
    main = await client.patch(PODS, "web", {"status": {"phase": "Failed"}}, "default", into=dict)
    assert main["status"]["phase"] == "Running"


async def test_an_invalid_object_names_every_problem(client: Client) -> None:
    body = a_pod("UPPER")
    del body["spec"]["containers"][0]["image"]
    with pytest.raises(Invalid) as refused:
        await client.create(PODS, body, "default", into=bytes)
    fields = {cause["field"] for cause in refused.value.details["causes"]}
    assert {"metadata.name", "spec.containers[0].image"} <= fields


async def test_bodies_that_make_no_sense(running: RunningServer, client: Client) -> None:
    path = PODS.path("default")
    with pytest.raises(BadRequest, match="must be of type Pod"):
        await client.request("POST", path, body=b"{nonsense")
    with pytest.raises(BadRequest, match="cannot unmarshal"):
        await client.request("POST", path, body=json.dumps(a_pod(hostNetwork="yes")).encode())
    with pytest.raises(BadRequest, match="cannot be handled as a Pod"):
        await client.request("POST", path, body=json.dumps(a_configmap()).encode())
    unknown = json.dumps(a_pod(colour="red")).encode()
    with pytest.raises(BadRequest, match=r'strict decoding error: unknown field "spec\.colour"'):
        await client.request("POST", path, query={"fieldValidation": "Strict"}, body=unknown)
    large = io.BytesIO(json.dumps(a_configmap(big="x" * (4 << 20))).encode())
    headers = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(running.url, headers=headers) as session,
        session.post(CONFIGMAPS.path("default"), data=large) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["reason"] == "RequestEntityTooLarge"


async def test_yaml_is_read_too(client: Client) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yam\ndata:\n  a: b\n"
    await client.request("POST", CONFIGMAPS.path("default"), body=text, content_type="application/yaml")
    assert (await client.get(CONFIGMAPS, "yam", "default", into=dict))["data"] == {"a": "b"}


async def test_a_dry_run_stores_nothing(client: Client) -> None:
    answer = await client.request(
        "POST", PODS.path("default"), query={"dryRun": "All"}, body=json.dumps(a_pod()).encode()
    )
    assert json.loads(answer)["spec"]["restartPolicy"] == "Always"
    with pytest.raises(NotFound):
        await client.get(PODS, "web", "default", into=bytes)


async def test_what_nobody_serves(client: Client) -> None:
    for path in ("/api/v1/namespaces/default/gadgets", "/apis/nothing.io/v1/things", "/nowhere"):
        with pytest.raises(NotFound, match="could not find the requested resource"):
            await client.request("GET", path)
    with pytest.raises(Exception, match="does not allow this method") as refused:
        await client.request("PUT", PODS.path("default"), body=b"{}")
    assert getattr(refused.value, "code", 0) == 405


async def test_nobody_in_particular_may_do_nothing(running: RunningServer) -> None:
    async with running.client("nobody") as client:
        with pytest.raises(Forbidden, match='pods is forbidden: User "somebody" cannot list resource "pods"'):
            await client.list(PODS, "default", into=bytes)


async def test_a_pod_on_no_node_is_deleted_at_once_and_one_on_a_node_gracefully(client: Client) -> None:
    await client.create(PODS, a_pod("idle"), "default", into=bytes)
    await client.delete(PODS, "idle", "default")
    with pytest.raises(NotFound):
        await client.get(PODS, "idle", "default", into=bytes)

    await client.create(PODS, a_pod("busy"), "default", into=bytes)
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "busy"}, "target": {"name": "n1"}}
    await client.create(PODS, binding, "default", into=bytes, name="busy", subresource="binding")
    bound = await client.get(PODS, "busy", "default", into=dict)
    assert bound["spec"]["nodeName"] == "n1"
    assert [c["type"] for c in bound["status"]["conditions"] if c["status"] == "True"] == ["PodScheduled"]
    with pytest.raises(Conflict, match='already assigned to node "n1"'):
        await client.create(PODS, binding, "default", into=bytes, name="busy", subresource="binding")
    await client.delete(PODS, "busy", "default")
    dying = await client.get(PODS, "busy", "default", into=dict)
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 30
    await client.delete(PODS, "busy", "default", grace_s=0)
    with pytest.raises(NotFound):
        await client.get(PODS, "busy", "default", into=bytes)


async def test_finalizers_hold_an_object_until_the_last_is_gone(client: Client) -> None:
    body = a_configmap()
    body["metadata"]["finalizers"] = ["example.org/hold"]
    await client.create(CONFIGMAPS, body, "default", into=bytes)
    await client.delete(CONFIGMAPS, "c", "default")
    held = await client.get(CONFIGMAPS, "c", "default", into=dict)
    assert held["metadata"]["deletionTimestamp"]
    await client.patch(CONFIGMAPS, "c", {"metadata": {"finalizers": None}}, "default", into=bytes)
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "c", "default", into=bytes)


async def test_a_deletion_can_name_the_one_it_means(client: Client) -> None:
    await client.create(CONFIGMAPS, a_configmap(), "default", into=bytes)
    with pytest.raises(Conflict) as refused:
        await client.delete(CONFIGMAPS, "c", "default", uid="other")
    assert re.fullmatch(
        r'Operation cannot be fulfilled on ConfigMap "c": the UID in the precondition \(other\) does not match the UID '
        r"in record \([0-9a-f-]{36}\)\. The object might have been deleted and then recreated",
        refused.value.message,
    )
    with pytest.raises(BadRequest, match="unable to decode the body as DeleteOptions"):
        await client.request("DELETE", CONFIGMAPS.path("default", "c"), body=b'{"preconditions":"x"}')
    await client.delete(CONFIGMAPS, "c", "default")


async def test_a_namespace_takes_no_finalizer_that_nobody_knows(client: Client) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}
    await client.create(NAMESPACES, body, into=bytes)
    body["spec"] = {"finalizers": ["not a name"]}
    with pytest.raises(Invalid, match=r"spec\.finalizers"):
        await client.update(NAMESPACES, "doomed", body, into=bytes, subresource="finalize")


async def test_propagation_policies_become_finalizers(client: Client) -> None:
    for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
        await client.create(CONFIGMAPS, a_configmap(policy.lower()), "default", into=bytes)
        await client.delete(CONFIGMAPS, policy.lower(), "default", propagation=policy)
        held = await client.get(CONFIGMAPS, policy.lower(), "default", into=dict)
        assert held["metadata"]["finalizers"] == [finalizer]


async def test_a_namespace_ends_by_finalizing(client: Client) -> None:
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}, into=bytes)
    await client.delete(NAMESPACES, "n")
    dying = await client.get(NAMESPACES, "n", into=dict)
    assert dying["status"]["phase"] == "Terminating"
    with pytest.raises(Forbidden, match="because it is being terminated"):
        await client.create(CONFIGMAPS, a_configmap(), "n", into=bytes)
    dying["spec"]["finalizers"] = []
    await client.update(NAMESPACES, "n", dying, into=bytes, subresource="finalize")
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, "n", into=bytes)


@pytest.mark.parametrize(
    ("subresource", "body"),
    [
        ("binding", {"apiVersion": "v1", "kind": "Binding", "target": {"name": "n1"}}),
        ("eviction", {"apiVersion": "policy/v1", "kind": "Eviction"}),
    ],
)
async def test_in_a_namespace_that_ends_pods_are_neither_bound_nor_evicted(
    client: Client, subresource: str, body: dict[str, Any]
) -> None:
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}, into=bytes)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await client.create(SERVICEACCOUNTS, account, "n", into=bytes)
    await client.create(PODS, a_pod("p"), "n", into=bytes)
    await client.delete(NAMESPACES, "n")
    body = {**body, "metadata": {"name": "p", "namespace": "n"}}
    refusal = r'pods "p" is forbidden: unable to create new content in namespace n because it is being terminated'
    with pytest.raises(Forbidden, match=refusal):
        await client.create(PODS, body, "n", into=bytes, name="p", subresource=subresource)


async def test_a_collection_is_deleted_by_selector(client: Client) -> None:
    for name in ("a", "b"):
        await client.create(
            SECRETS,
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"x": name}}},
            "default",
            into=bytes,
        )
    await client.request("DELETE", SECRETS.path("default"), query={"labelSelector": "x=a"})
    assert [item["metadata"]["name"] for item in (await client.list(SECRETS, "default", into=dict)).items] == ["b"]


async def test_a_collection_is_deleted_as_it_would_be_listed(client: Client) -> None:
    for name in "abc":
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        await client.create(SECRETS, secret, "default", into=bytes)
    path = SECRETS.path("default")
    with pytest.raises(Invalid, match=r'ListOptions\.meta\.k8s\.io "" is invalid'):
        await client.request("DELETE", path, query={"resourceVersionMatch": "Exact"})
    first = json.loads(await client.request("DELETE", path, query={"limit": "2"}))
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    rest = json.loads(await client.request("DELETE", path, query={"continue": first["metadata"]["continue"]}))
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert not (await client.list(SECRETS, "default", into=dict)).items


async def test_scale_is_read_and_written(client: Client) -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": a_pod()["spec"]},
        },
    }
    await client.create(DEPLOYMENTS, deployment, "default", into=bytes)
    path = DEPLOYMENTS.path("default", "d", "scale")
    scale = json.loads(await client.request("GET", path))
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"]["selector"] == "app=d"
    scale["spec"]["replicas"] = 5
    await client.request("PUT", path, body=json.dumps(scale).encode())
    patch = {"body": b'{"spec":{"replicas":7}}', "content_type": "application/merge-patch+json"}
    answer = json.loads(await client.request("PATCH", path, **patch))
    assert answer["spec"]["replicas"] == 7
    assert (await client.get(DEPLOYMENTS, "d", "default", into=dict))["spec"]["replicas"] == 7


async def test_service_addresses_are_given_kept_refused_and_given_back(client: Client) -> None:
    def a_service(name: str, **spec: Any) -> dict[str, Any]:
        ports = spec.pop("ports", [{"port": 80}])
        body = {"selector": {"app": "web"}, "ports": ports, **spec}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}

    one = await client.create(SERVICES, a_service("one", type="NodePort"), "default", into=dict)
    address, port = one["spec"]["clusterIP"], one["spec"]["ports"][0]["nodePort"]
    assert address.startswith("10.96.")
    assert 30000 <= port <= 32767
    headless = await client.create(SERVICES, a_service("headless", clusterIP="None"), "default", into=dict)
    assert headless["spec"]["clusterIPs"] == ["None"]
    with pytest.raises(Invalid, match="provided IP is already allocated"):
        await client.create(SERVICES, a_service("two", clusterIP=address), "default", into=bytes)
    taken = a_service("two", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    with pytest.raises(Invalid, match="provided port is already allocated"):
        await client.create(SERVICES, taken, "default", into=bytes)
    labelled = await client.patch(SERVICES, "one", {"metadata": {"labels": {"a": "b"}}}, "default", into=dict)
    assert labelled["spec"]["clusterIP"] == address
    await client.delete(SERVICES, "one", "default")
    again = await client.create(SERVICES, a_service("two", clusterIP=address), "default", into=dict)
    assert again["spec"]["clusterIP"] == address


async def test_nodes_are_found_again_after_a_restart(tmp_path: Path) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    async with a_running_server(path=tmp_path / "s.db") as first, first.client() as client:
        created = await client.create(NODES, node, into=dict)
    async with a_running_server(path=tmp_path / "s.db") as second, second.client() as client:
        assert await client.get(NODES, "n1", into=dict) == created


async def test_what_is_amiss_is_told_in_warnings(running: RunningServer) -> None:
    headers = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
    twice = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w"},"data":{"a":"1","a":"2"},"dat":{}}'
    async with aiohttp.ClientSession(running.url, headers=headers) as session:
        async with session.post(CONFIGMAPS.path("default"), data=twice) as answer:
            assert answer.status == 201
            assert answer.headers.getall("Warning") == [
                '299 - "unknown field \\"dat\\""',
                '299 - "duplicate field \\"data.a\\""',
            ]
        query = {"fieldValidation": "Ignore"}
        async with session.put(CONFIGMAPS.path("default", "w"), data=twice, params=query) as answer:
            assert "Warning" not in answer.headers
        async with session.put(CONFIGMAPS.path("default", "w"), data=twice, params={"fieldValidation": "No"}) as answer:
            assert answer.status == 422


async def test_an_update_that_would_create_asks_for_that_permission(running: RunningServer) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    async with running.client() as admin:
        made = await admin.update(LEASES, "l", lease, "default", into=dict)
        assert made["metadata"]["uid"]
    authorizer = MayNotCreate()
    async with (
        a_running_server(authorizer=authorizer) as server,
        server.client("nobody") as client,
    ):
        with pytest.raises(Forbidden, match=r'cannot create resource "leases" in API group "coordination.k8s.io"'):
            await client.update(LEASES, "l", lease, "default", into=bytes)


class MayNotCreate:
    """Everything is allowed, but that `somebody` creates."""

    def authorize(self, attributes: Attributes) -> Verdict:
        is_creation = attributes.verb == "create" and attributes.user.name == "somebody"
        return NO_OPINION if is_creation else ALLOW


async def test_pods_of_one_template_differ_in_what_is_their_own_only(running: RunningServer, client: Client) -> None:
    before = metrics.TEMPLATED._value.get()
    body = {**a_pod(), "metadata": {"generateName": "web-", "labels": {"app": "web"}}}
    made = [await client.create(PODS, body, "default", into=dict) for _ in range(6)]
    assert metrics.TEMPLATED._value.get() - before == 4
    assert len({pod["metadata"]["name"] for pod in made}) == len({pod["metadata"]["uid"] for pod in made}) == 6
    for pod in made:
        assert await client.get(PODS, pod["metadata"]["name"], "default", into=dict) == pod
    (volume,) = made[-1]["spec"]["volumes"]
    (mount,) = made[-1]["spec"]["containers"][0]["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert len({pod["spec"]["volumes"][0]["name"] for pod in made}) == 6
    named = {**body, "metadata": {"name": "same", "labels": {"app": "web"}}}
    await client.create(PODS, named, "default", into=bytes)
    for _ in range(3):
        with pytest.raises(AlreadyExists, match='pods "same" already exists'):
            await client.create(PODS, named, "default", into=bytes)
    account = await client.get(SERVICEACCOUNTS, "default", "default", into=dict)
    account["automountServiceAccountToken"] = False
    await client.update(SERVICEACCOUNTS, "default", account, "default", into=bytes)
    assert "volumes" not in (await client.create(PODS, body, "default", into=dict))["spec"]
