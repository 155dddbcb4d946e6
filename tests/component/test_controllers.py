"""The controllers against the real API server, over a socket; a played node starts and stops the pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.resources import (
    CONFIGMAPS,
    CONTROLLERREVISIONS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SERVICES,
    STATEFULSETS,
)
from orchestrator.controllers.context import ControllersConfig
from orchestrator.controllers.registry import run_all
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import ApiError, Conflict, Forbidden, NotFound
from tests.support.controllers import deployment_body, namespace_body, service_body, statefulset_body
from tests.support.server import RunningServer
from tests.support.simulation import ready_node


@asynccontextmanager
async def controlled(api_server: RunningServer, *nodes: str) -> AsyncIterator[Client]:
    """Controllers and played nodes on a running server."""
    async with api_server.client() as client, api_server.client("controllers") as theirs:
        for name in nodes or ("n1", "n2"):
            await client.create(NODES, ready_node(name), into=dict)
            await client.update(NODES, name, ready_node(name), into=dict, subresource="status")
        played = asyncio.ensure_future(play_nodes(client, nodes or ("n1", "n2")))
        running = asyncio.ensure_future(run_all(theirs, SystemClock(), ControllersConfig()))
        try:
            yield client
        finally:
            for task in (running, played):
                task.cancel()
            ended = await asyncio.gather(running, played, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error


async def play_nodes(client: Client, nodes: tuple[str, ...]) -> None:
    """Bind, start and end pods, by looking at all of them again and again."""
    number = 1
    while True:
        for pod in (await client.list(PODS, into=dict)).items:
            meta = pod["metadata"]
            try:
                if meta.get("deletionTimestamp"):
                    await client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace_s=0)
                elif not pod["spec"].get("nodeName"):
                    number += 1
                    await bind(client, pod, nodes[number % len(nodes)])
                elif (pod.get("status") or {}).get("phase") != "Running":
                    number += 1
                    await start(client, pod, f"10.244.0.{number}")
            except (NotFound, Conflict, Forbidden):
                continue  # it, or its namespace, was deleted since it was listed
        await asyncio.sleep(0.02)


async def bind(client: Client, pod: Object, node: str) -> None:
    meta = pod["metadata"]
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}, "target": target}
    await client.create(PODS, body, meta["namespace"], into=dict, name=meta["name"], subresource="binding")


async def start(client: Client, pod: Object, address: str) -> None:
    meta = pod["metadata"]
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": meta["creationTimestamp"]}
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}
    await client.patch(
        PODS,
        meta["name"],
        {"status": status},
        meta["namespace"],
        into=dict,
        subresource="status",
        patch_type=STRATEGIC_PATCH,
    )


async def until(fact: Callable[[], Awaitable[Any]], *, limit_s: float = 20.0) -> Any:
    """Wait until the fact holds, and return what it gave."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                if found := await fact():
                    return found
            except NotFound:
                pass
            await asyncio.sleep(0.03)


async def pods(client: Client, namespace: str = "default") -> list[Object]:
    return list((await client.list(PODS, namespace, into=dict)).items)


async def ready(client: Client) -> list[Object]:
    return [
        pod
        for pod in await pods(client)
        if not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") == "Running"
    ]


def images(found: list[Object]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in found}


async def complete(client: Client, replicas: int) -> bool:
    deployment = await client.get(DEPLOYMENTS, "web", "default", into=dict)
    status = deployment["status"]
    return (
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == replicas
    )


async def test_a_deployment_rolls_out_behind_its_service_and_goes(api_server: RunningServer) -> None:
    async with controlled(api_server) as client:
        await client.create(SERVICES, service_body("web"), "default", into=dict)
        await client.create(DEPLOYMENTS, deployment_body("web", replicas=3), "default", into=dict)
        await until(lambda: complete(client, 3))

        async def published() -> bool:
            slices = (await client.list(ENDPOINTSLICES, "default", into=dict)).items
            ours = [s for s in slices if s["metadata"]["labels"].get("kubernetes.io/service-name") == "web"]
            return sum(endpoint["conditions"]["ready"] for one in ours for endpoint in one.get("endpoints") or ()) == 3

        await until(published)

        async def published_as_endpoints() -> bool:
            [subset] = (await client.get(ENDPOINTS, "web", "default", into=dict)).get("subsets") or [{}]
            return len(subset.get("addresses") or ()) == 3

        await until(published_as_endpoints)

        patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}}}}
        await client.patch(DEPLOYMENTS, "web", patch, "default", into=dict, patch_type=STRATEGIC_PATCH)
        await until(lambda: complete(client, 3))
        assert images(await ready(client)) == {"nginx:2"}
        deployment = await client.get(DEPLOYMENTS, "web", "default", into=dict)
        assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        reasons = {condition["type"]: condition["reason"] for condition in deployment["status"]["conditions"]}
        assert reasons == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}

        await client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")

        async def gone() -> bool:
            left = await pods(client)
            left += (await client.list(REPLICASETS, "default", into=dict)).items
            left += (await client.list(DEPLOYMENTS, "default", into=dict)).items
            return not left

        await until(gone)


async def test_a_statefulset_keeps_order_and_revisions(api_server: RunningServer) -> None:
    async with controlled(api_server) as client:
        await client.create(STATEFULSETS, statefulset_body("db", replicas=3), "default", into=dict)

        async def updated(image: str) -> bool:
            found = await ready(client)
            return len(found) == 3 and images(found) == {image}

        await until(lambda: updated("nginx:1"))
        names = sorted((await pods(client)), key=lambda pod: int(pod["metadata"]["resourceVersion"]))
        assert {pod["metadata"]["name"] for pod in names} == {"db-0", "db-1", "db-2"}
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}}}}
        await client.patch(STATEFULSETS, "db", patch, "default", into=dict, patch_type=STRATEGIC_PATCH)
        await until(lambda: updated("nginx:2"))

        async def settled() -> bool:
            status = (await client.get(STATEFULSETS, "db", "default", into=dict))["status"]
            return status.get("currentRevision") == status.get("updateRevision") and status["currentReplicas"] == 3

        await until(settled)
        assert len((await client.list(CONTROLLERREVISIONS, "default", into=dict)).items) == 2


async def test_a_statefulset_orphaned_and_applied_again_restarts_nothing(api_server: RunningServer) -> None:
    async with controlled(api_server) as client:
        await client.create(STATEFULSETS, statefulset_body("db", replicas=2), "default", into=dict)

        async def running() -> bool:
            return len(await ready(client)) == 2

        await until(running)
        before = {pod["metadata"]["uid"] for pod in await pods(client)}
        await client.delete(STATEFULSETS, "db", "default", propagation="Orphan")

        async def gone() -> bool:
            return not (await client.list(STATEFULSETS, "default", into=dict)).items

        await until(gone)
        await client.create(STATEFULSETS, statefulset_body("db", replicas=2), "default", into=dict)

        async def adopted() -> bool:
            sts = await client.get(STATEFULSETS, "db", "default", into=dict)
            history = (await client.list(CONTROLLERREVISIONS, "default", into=dict)).items
            owners = [one["metadata"].get("ownerReferences") or [{}] for one in (*await pods(client), *history)]
            ours = all(references[0].get("uid") == sts["metadata"]["uid"] for references in owners)
            return ours and (sts.get("status") or {}).get("updatedReplicas") == 2

        await until(adopted)
        assert {pod["metadata"]["uid"] for pod in await pods(client)} == before
        assert len((await client.list(CONTROLLERREVISIONS, "default", into=dict)).items) == 1


async def test_a_namespace_goes_with_all_it_holds(api_server: RunningServer) -> None:
    async with controlled(api_server) as client:
        await client.create(NAMESPACES, namespace_body("team"), into=dict)

        async def filled() -> bool:
            try:
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
                await client.create(CONFIGMAPS, body, "team", into=dict)
            except ApiError:
                return False
            return True

        await until(filled)
        await client.create(DEPLOYMENTS, deployment_body("web", namespace="team", replicas=2), "team", into=dict)

        async def two_pods() -> bool:
            return len(await pods(client, "team")) == 2

        await until(two_pods)
        await client.delete(NAMESPACES, "team")

        async def gone() -> bool:
            return all(n["metadata"]["name"] != "team" for n in (await client.list(NAMESPACES, into=dict)).items)

        await until(gone)
        assert await pods(client, "team") == []


async def test_nodes_get_ranges(api_server: RunningServer) -> None:
    async with controlled(api_server, "n1", "n2", "n3") as client:

        async def ranges() -> set[str]:
            found = {node["spec"].get("podCIDR") for node in (await client.list(NODES, into=dict)).items}
            return set() if None in found else found

        assert await until(ranges) == {"10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"}


async def test_what_is_as_wanted_is_not_written_again(api_server: RunningServer) -> None:
    async with controlled(api_server) as client:
        unnamed, headless, nobody = service_body("unnamed"), service_body("headless"), service_body("nobody")
        unnamed["spec"]["ports"] = [{"port": 80}]
        headless["spec"]["clusterIP"] = "None"
        nobody["spec"]["selector"] = {"app": "nobody"}
        for service in (unnamed, headless, nobody):
            if service is not headless:
                del service["spec"]["clusterIP"]
            await client.create(SERVICES, service, "default", into=dict)
        await client.create(DEPLOYMENTS, deployment_body("web", replicas=2), "default", into=dict)
        await client.create(STATEFULSETS, statefulset_body("db", replicas=1), "default", into=dict)
        await until(lambda: complete(client, 2))

        async def revisions() -> dict[str, str]:
            watched = (PODS, REPLICASETS, DEPLOYMENTS, STATEFULSETS, ENDPOINTSLICES, ENDPOINTS, NODES, NAMESPACES)
            return {
                f"{resource.plural}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"]
                for resource in watched
                for obj in (await client.list(resource, into=dict)).items
            }

        async def is_quiet() -> bool:
            before = await revisions()
            await asyncio.sleep(0.7)
            return await revisions() == before

        assert await until(is_quiet)
        assert await is_quiet()
