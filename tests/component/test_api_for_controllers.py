"""What controllers rely on at the API server: what is refused, what a write leaves alone, what a deletion does."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from orchestrator.api.objects import Object
from orchestrator.api.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    STATEFULSETS,
    Resource,
)
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.chain import build_admission
from tests.support.controllers import deployment_body, owner_body, pod_template, statefulset_body
from tests.support.server import RunningServer, a_configmap, a_pod, a_running_server
from tests.support.simulation import ready_node


def replicaset_body(name: str = "web", **spec: Any) -> Object:
    body = deployment_body(name)
    wanted = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": pod_template(), **spec}
    return {**body, "kind": "ReplicaSet", "spec": wanted}


def owned_pod(*owners: str) -> Object:
    pod = a_pod()
    pod["metadata"]["ownerReferences"] = [owner_body("ReplicaSet", uid, uid) for uid in owners]
    return pod


async def refusal_of(write: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await write
    return caught.value


async def test_nothing_has_two_controllers(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        assert isinstance(await refusal_of(client.create(PODS, owned_pod("a", "b"), "default", into=dict)), Invalid)
        await client.create(PODS, owned_pod("a"), "default", into=dict)
        second = {"metadata": {"ownerReferences": [owner_body("ReplicaSet", "b", "b")]}}
        adopting = client.patch(PODS, "web", second, "default", into=dict, patch_type=STRATEGIC_PATCH)
        refused = await refusal_of(adopting)
        assert isinstance(refused, Invalid)
        assert "Only one reference can have Controller set to true" in refused.message


@pytest.mark.parametrize(
    ("resource", "body", "patch"),
    [
        pytest.param(
            DEPLOYMENTS, deployment_body("web"), {"selector": {"matchLabels": {"app": "other"}}}, id="a-selector"
        ),
        pytest.param(STATEFULSETS, statefulset_body("web"), {"serviceName": "other"}, id="a-service-name"),
        pytest.param(PODS, a_pod(), {"hostname": "other"}, id="a-pods-host-name"),
        pytest.param(DEPLOYMENTS, deployment_body("web"), {"replicas": -1}, id="fewer-than-none"),
        pytest.param(REPLICASETS, replicaset_body(), {"replicas": -1}, id="fewer-than-none-of-a-replica-set"),
        pytest.param(STATEFULSETS, statefulset_body("web"), {"minReadySeconds": -1}, id="less-than-no-time"),
    ],
)
async def test_what_may_not_change_does_not(
    api_server: RunningServer, resource: Resource, body: Object, patch: Object
) -> None:
    async with api_server.client() as client:
        before = await client.create(resource, body, "default", into=dict)
        refused = await refusal_of(client.patch(resource, "web", {"spec": patch}, "default", into=dict))
        assert isinstance(refused, Invalid)
        assert await client.get(resource, "web", "default", into=dict) == before


async def test_nothing_is_made_in_a_namespace_that_is_not_there_or_is_going(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        assert isinstance(await refusal_of(client.create(CONFIGMAPS, a_configmap(), "nowhere", into=dict)), NotFound)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}}
        await client.create(NAMESPACES, body, into=dict)
        await client.delete(NAMESPACES, "going")
        refused = await refusal_of(client.create(CONFIGMAPS, a_configmap(), "going", into=dict))
        assert isinstance(refused, Forbidden)
        assert [cause["reason"] for cause in refused.details["causes"]] == ["NamespaceTerminating"]


async def test_a_write_on_an_older_state_is_a_conflict(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        old = await client.create(CONFIGMAPS, a_configmap(a="1"), "default", into=dict)
        await client.patch(CONFIGMAPS, "c", {"data": {"a": "2"}}, "default", into=dict)
        stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
        for write in (
            client.update(CONFIGMAPS, "c", {**old, "data": {"a": "3"}}, "default", into=dict),
            client.patch(CONFIGMAPS, "c", stale, "default", into=dict),
            client.patch(CONFIGMAPS, "c", {"metadata": {"uid": "another"}}, "default", into=dict),
            client.delete(CONFIGMAPS, "c", "default", uid="another"),
            client.delete(CONFIGMAPS, "c", "default", resource_version=old["metadata"]["resourceVersion"]),
        ):
            assert isinstance(await refusal_of(write), Conflict)
        assert (await client.get(CONFIGMAPS, "c", "default", into=dict))["data"] == {"a": "2"}


async def test_what_changes_nothing_is_not_written(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        before = await client.create(DEPLOYMENTS, deployment_body("web"), "default", into=dict)
        assert await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}}, "default", into=dict) == before
        assert await client.update(DEPLOYMENTS, "web", before, "default", into=dict) == before


@pytest.mark.parametrize("resource", [REPLICASETS, PODS], ids=["of-a-replica-set", "of-a-pod"])
@pytest.mark.parametrize("how", ["put", "merge", "strategic"])
async def test_a_status_write_leaves_owners_and_spec_alone(
    api_server: RunningServer, resource: Resource, how: str
) -> None:
    async with api_server.client() as client:
        body = replicaset_body() if resource == REPLICASETS else a_pod()
        body["metadata"]["ownerReferences"] = [owner_body("Deployment", "web", "uid-web")]
        made = await client.create(resource, body, "default", into=dict)
        status = {"replicas": 3} if resource == REPLICASETS else {"phase": "Running"}
        if how == "put":
            meta = {"name": "web", "resourceVersion": made["metadata"]["resourceVersion"]}
            put = {**made, "metadata": meta, "spec": body["spec"], "status": status}
            await client.update(resource, "web", put, "default", into=dict, subresource="status")
        else:
            kind = "application/merge-patch+json" if how == "merge" else STRATEGIC_PATCH
            emptied = {"$patch": "delete", "uid": "uid-web"} if how == "strategic" else None
            patch = {"metadata": {"ownerReferences": [emptied] if emptied else None}, "status": status}
            await client.patch(resource, "web", patch, "default", into=dict, subresource="status", patch_type=kind)
        now = await client.get(resource, "web", "default", into=dict)
        assert now["metadata"]["ownerReferences"] == made["metadata"]["ownerReferences"]
        assert now["spec"] == made["spec"]
        assert now["metadata"]["generation"] == made["metadata"]["generation"]
        assert status.items() <= now["status"].items()


async def test_a_write_of_the_object_leaves_its_status_alone(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        made = await client.create(REPLICASETS, replicaset_body(), "default", into=dict)
        changed = {**made, "spec": {**made["spec"], "replicas": 2}, "status": {"replicas": 7}}
        written = await client.update(REPLICASETS, "web", changed, "default", into=dict)
        assert written["status"]["replicas"] == 0
        assert written["metadata"]["generation"] == 2


async def test_generated_names_differ(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        body = a_configmap()
        body["metadata"] = {"generateName": "web-"}
        names = [(await client.create(CONFIGMAPS, body, "default", into=dict))["metadata"]["name"] for _ in range(20)]
        assert len(set(names)) == 20
        assert all(name.startswith("web-") and len(name) == 9 for name in names)
        body["metadata"] = {"name": names[0]}
        assert isinstance(await refusal_of(client.create(CONFIGMAPS, body, "default", into=dict)), AlreadyExists)


async def deletion_of(client: Client, resource: Resource, **how: Any) -> tuple[Object, Object]:
    """The object before its deletion, and what is there of it afterwards."""
    before = await client.get(resource, "web", "default", into=dict)
    await client.delete(resource, "web", "default", **how)
    return before, await client.get(resource, "web", "default", into=dict)


async def test_a_deletion_that_waits_is_a_new_generation(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        await client.create(NODES, ready_node("n1"), into=dict)
        await client.create(PODS, a_pod(nodeName="n1"), "default", into=dict)
        await client.create(DEPLOYMENTS, deployment_body("web"), "default", into=dict)
        for resource, how in ((PODS, {}), (DEPLOYMENTS, {"propagation": "Foreground"})):
            before, after = await deletion_of(client, resource, **how)
            assert after["metadata"]["deletionTimestamp"]
            assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
            # Asked again, nothing is new.
            _, again = await deletion_of(client, resource, **how)
            assert again == after


async def test_a_deleted_object_goes_with_its_last_finalizer(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        body = a_configmap("web")
        body["metadata"]["finalizers"] = ["example.com/one", "example.com/two"]
        await client.create(CONFIGMAPS, body, "default", into=dict)
        _, held = await deletion_of(client, CONFIGMAPS)
        assert held["metadata"]["finalizers"] == body["metadata"]["finalizers"]
        left = {"metadata": {"finalizers": ["example.com/two"]}}
        await client.patch(CONFIGMAPS, "web", left, "default", into=dict)
        assert (await client.get(CONFIGMAPS, "web", "default", into=dict))["metadata"]["finalizers"]
        await client.patch(CONFIGMAPS, "web", {"metadata": {"finalizers": None}}, "default", into=dict)
        assert isinstance(await refusal_of(client.get(CONFIGMAPS, "web", "default", into=dict)), NotFound)


async def test_only_a_pod_that_runs_somewhere_is_given_grace(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        await client.create(NODES, ready_node("n1"), into=dict)
        await client.create(PODS, a_pod(), "default", into=dict)
        await client.delete(PODS, "web", "default")
        assert isinstance(await refusal_of(client.get(PODS, "web", "default", into=dict)), NotFound)
        await client.create(PODS, a_pod(nodeName="n1"), "default", into=dict)
        _, going = await deletion_of(client, PODS)
        assert going["metadata"]["deletionGracePeriodSeconds"] == 30
        await client.delete(PODS, "web", "default", uid=going["metadata"]["uid"], grace_s=0)
        assert isinstance(await refusal_of(client.get(PODS, "web", "default", into=dict)), NotFound)


class Thinking:
    """The admission chain, which takes its time over one object, in whatever thread: until told that it is enough."""

    def __init__(self) -> None:
        self._chain = build_admission()
        self.begun, self.enough = threading.Event(), threading.Event()

    def mutate(self, request: AdmissionRequest) -> None:
        self._chain.mutate(request)

    def validate(self, request: AdmissionRequest) -> None:
        self._chain.validate(request)
        if request.operation == "CREATE" and (request.obj or {})["metadata"].get("name") == "large":
            self.begun.set()
            self.enough.wait()


async def test_nothing_is_created_in_a_namespace_that_went_while_a_large_body_was_thought_about() -> None:
    admission = Thinking()
    async with a_running_server(admission=admission) as server, server.client() as client:
        namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}
        await client.create(NAMESPACES, namespace, into=bytes)
        creating = asyncio.create_task(
            client.create(CONFIGMAPS, a_configmap("large", a="x" * 200_000), "doomed", into=bytes)
        )
        try:
            await asyncio.to_thread(admission.begun.wait)
            await client.delete(NAMESPACES, "doomed")
            await client.update(NAMESPACES, "doomed", namespace, into=bytes, subresource="finalize")
            with pytest.raises(NotFound):
                await client.get(NAMESPACES, "doomed", into=bytes)
        finally:
            admission.enough.set()
        with pytest.raises(NotFound, match='namespaces "doomed" not found'):
            await creating
        assert (await client.list(CONFIGMAPS, into=bytes)).items == ()
