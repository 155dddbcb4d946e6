"""Owners and dependents, and namespaces that end, on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.resources import (
    CERTIFICATESIGNINGREQUESTS,
    CONFIGMAPS,
    CORE_EVENTS,
    LEASES,
    NAMESPACES,
    PODS,
    SERVICEACCOUNTS,
    Resource,
)
from orchestrator.controllers import registry
from orchestrator.controllers.context import ControllersConfig
from orchestrator.machinery.client import JSON_PATCH, Client
from orchestrator.machinery.clock import SystemClock
from tests.support.server import RunningServer, a_configmap, a_pod
from tests.support.waiting import wait_object, wait_objects

COLLECTORS = tuple(one for one in registry.CONTROLLERS if one.name in ("garbage", "namespace"))


@pytest.fixture
async def client(api_server: RunningServer) -> AsyncIterator[Client]:
    """A client of a server with the garbage collector and the namespace controller."""
    async with api_server.client() as client, api_server.client("controllers") as theirs:
        running = asyncio.ensure_future(registry.run_all(theirs, SystemClock(), ControllersConfig(), COLLECTORS))
        yield client
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def owned_by(body: dict[str, Any], *owners: dict[str, Any]) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    body["metadata"]["ownerReferences"] = references
    return body


def a_lease(name: str = "lease") -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}}


async def gone(client: Client, resource: Resource, *names: str, namespace: str = "default") -> None:
    await wait_objects(client, resource, lambda found: not set(names) & set(found), namespace=namespace)


async def test_a_foreground_deletion_ends_for_every_kind_there_is(client: Client) -> None:
    lease = await client.create(LEASES, a_lease(), "default", into=dict)
    await client.create(CONFIGMAPS, owned_by(a_configmap("of-lease"), lease), "default", into=dict)
    await client.delete(LEASES, "lease", "default", propagation="Foreground")
    await gone(client, LEASES, "lease")
    await gone(client, CONFIGMAPS, "of-lease")
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "x", "namespace": "default"},
        "reason": "R",
        "message": "m",
        "type": "Normal",
    }
    await client.create(CORE_EVENTS, event, "default", into=dict)
    await client.delete(CORE_EVENTS, "e", "default", propagation="Foreground")
    await gone(client, CORE_EVENTS, "e")
    names = {row.storage for row in BUILT_IN.rows if not row.virtual and row.strategy.collected}
    assert {LEASES, CERTIFICATESIGNINGREQUESTS} <= names


async def test_a_lease_that_is_orphaned_lets_go(client: Client) -> None:
    lease = await client.create(LEASES, a_lease(), "default", into=dict)
    await client.create(CONFIGMAPS, owned_by(a_configmap("of-lease"), lease), "default", into=dict)
    await wait_object(client, CONFIGMAPS, "of-lease", lambda _: True)
    await client.delete(LEASES, "lease", "default", propagation="Orphan")
    await gone(client, LEASES, "lease")
    left = await client.get(CONFIGMAPS, "of-lease", "default", into=dict)
    assert not left["metadata"].get("ownerReferences")


async def test_a_circle_of_three_pods_does_not_block_a_foreground_deletion(client: Client) -> None:
    made = [await client.create(PODS, a_pod(name), "default", into=dict) for name in ("a", "b", "c")]
    for pod, owner in zip(made, (made[2], made[0], made[1]), strict=True):
        references = owned_by({"metadata": {}}, owner)["metadata"]["ownerReferences"]
        patch = {"metadata": {"ownerReferences": references}}
        await client.patch(PODS, pod["metadata"]["name"], patch, "default", into=dict)
    await client.delete(PODS, "a", "default", propagation="Foreground")
    await gone(client, PODS, "a", "b", "c")


async def test_what_owns_itself_can_be_deleted_in_the_foreground(client: Client) -> None:
    made = await client.create(CONFIGMAPS, a_configmap("self"), "default", into=dict)
    patch = {"metadata": owned_by({"metadata": {}}, made)["metadata"]}
    await client.patch(CONFIGMAPS, "self", patch, "default", into=dict)
    await client.delete(CONFIGMAPS, "self", "default", propagation="Foreground")
    await gone(client, CONFIGMAPS, "self")


async def test_an_owner_lets_go_when_its_last_dependent_forgets_it(client: Client) -> None:
    owner = await client.create(CONFIGMAPS, a_configmap("owner"), "default", into=dict)
    held = owned_by(a_configmap("dependent"), owner)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(CONFIGMAPS, held, "default", into=dict)
    await wait_object(client, CONFIGMAPS, "dependent", lambda _: True)
    await client.delete(CONFIGMAPS, "owner", "default", propagation="Foreground")
    await wait_object(client, CONFIGMAPS, "dependent", lambda found: "deletionTimestamp" in found["metadata"])
    forget = [{"op": "remove", "path": "/metadata/ownerReferences"}]
    await client.patch(CONFIGMAPS, "dependent", forget, "default", into=dict, patch_type=JSON_PATCH)
    await gone(client, CONFIGMAPS, "owner")
    await client.patch(CONFIGMAPS, "dependent", {"metadata": {"finalizers": None}}, "default", into=dict)


async def test_an_owner_in_another_namespace_is_none_and_the_dependent_says_so(client: Client) -> None:
    owner = await client.create(CONFIGMAPS, a_configmap("owner"), "default", into=dict)
    stray = await client.create(CONFIGMAPS, owned_by(a_configmap("stray"), owner), "kube-public", into=dict)
    await gone(client, CONFIGMAPS, "stray", namespace="kube-public")
    told = await wait_objects(client, CORE_EVENTS, lambda found: bool(found), namespace="kube-public")
    (event,) = told.values()
    assert (event["type"], event["reason"]) == ("Warning", "OwnerRefInvalidNamespace")
    assert event["involvedObject"]["uid"] == stray["metadata"]["uid"]
    assert event["source"]["component"] == "garbage-collector-controller"
    uid = owner["metadata"]["uid"]
    assert event["message"] == (
        f"ownerRef [v1/ConfigMap, namespace: kube-public, name: owner, uid: {uid}] "
        'does not exist in namespace "kube-public"'
    )


async def test_a_cluster_scoped_object_cannot_have_an_owner_in_a_namespace_and_stays(client: Client) -> None:
    owner = await client.create(CONFIGMAPS, a_configmap("owner"), "default", into=dict)
    space = owned_by({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stays"}}, owner)
    await client.create(NAMESPACES, space, into=dict)
    told = await wait_objects(client, CORE_EVENTS, lambda found: bool(found), namespace="default")
    (event,) = told.values()
    assert (event["reason"], event["involvedObject"]["name"]) == ("OwnerRefInvalidNamespace", "stays")
    uid = owner["metadata"]["uid"]
    assert event["message"] == (
        f'ownerRef [v1/ConfigMap, namespace: , name: owner, uid: {uid}] does not exist in namespace ""'
    )
    await client.delete(CONFIGMAPS, "owner", "default", propagation="Foreground")
    await gone(client, CONFIGMAPS, "owner")
    # A second one, collected for its owner's sake, shows that the collector has come past the first.
    await client.create(CONFIGMAPS, owned_by(a_configmap("after"), owner), "default", into=dict)
    await gone(client, CONFIGMAPS, "after")
    assert "deletionTimestamp" not in (await client.get(NAMESPACES, "stays", into=dict))["metadata"]


async def test_a_namespace_is_emptied_of_its_pods_first(client: Client) -> None:
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}, into=dict)
    held = a_pod("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    held["spec"]["automountServiceAccountToken"] = False
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await client.create(SERVICEACCOUNTS, account, "team", into=dict)
    await client.create(PODS, held, "team", into=dict)
    await client.create(CONFIGMAPS, a_configmap("needed"), "team", into=dict)
    await client.create(LEASES, a_lease(), "team", into=dict)
    await client.delete(LEASES, "lease", "team", propagation="Foreground")
    await client.delete(NAMESPACES, "team")

    def told(space: dict[str, Any]) -> bool:
        types = {one["type"]: one for one in space["status"].get("conditions") or ()}
        remaining = types.get("NamespaceContentRemaining", {})
        return "NamespaceDeletionContentFailure" in types and remaining.get("status") == "True"

    space = await wait_object(client, NAMESPACES, "team", told, namespace="")
    assert space["status"]["phase"] == "Terminating"
    (remaining,) = (one for one in space["status"]["conditions"] if one["type"] == "NamespaceContentRemaining")
    assert remaining["message"] == "Some resources are remaining: pods. has 1 resource instances"
    assert (await client.get(PODS, "held", "team", into=dict))["metadata"]["deletionTimestamp"]
    assert (await client.get(CONFIGMAPS, "needed", "team", into=dict))["metadata"].get("deletionTimestamp") is None
    await client.patch(PODS, "held", {"metadata": {"finalizers": None}}, "team", into=dict)
    await wait_objects(client, NAMESPACES, lambda found: "team" not in found, namespace="")
