"""A store whose changes are heard late, as another machine's would be: no client ever notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from orchestrator.api.resources import CONFIGMAPS, NAMESPACES, PODS, SERVICEACCOUNTS, SERVICES
from orchestrator.server.admission.base import Objects
from orchestrator.server.requests import Request
from orchestrator.store.base import Batch
from orchestrator.store.memory import MemoryStore
from tests.support.server import a_configmap, a_pod, a_running_server


class LateStore(MemoryStore):
    """Tells of every change only some time after it was acknowledged."""

    async def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[Batch]:  # type: ignore[override]
        async for batch in super().watch(prefix, from_revision=from_revision):
            await asyncio.sleep(0.02)
            yield batch


async def test_every_request_sees_what_was_acknowledged_before_it() -> None:
    async with a_running_server(store=LateStore()) as server, server.client() as client:
        for number in range(5):
            name = f"n{number}"
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await client.create(NAMESPACES, body, into=bytes)
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            await client.create(SERVICEACCOUNTS, account, name, into=bytes)
            created = await client.create(CONFIGMAPS, a_configmap(a="1"), name, into=dict)
            assert await client.get(CONFIGMAPS, "c", name, into=dict) == created
            assert (await client.list(CONFIGMAPS, name, into=dict)).items == (created,)
            await client.patch(CONFIGMAPS, "c", {"data": {"a": "2"}}, name, into=bytes)
            await client.update(CONFIGMAPS, "c", a_configmap(a="3"), name, into=bytes)
            await client.delete(CONFIGMAPS, "c", name)
            assert (await client.list(CONFIGMAPS, name, into=dict)).items == ()


async def test_the_log_of_a_pod_can_be_asked_for_at_once() -> None:
    async def forward(_: web.BaseRequest, request: Request, objects: Objects) -> web.StreamResponse:
        is_known = objects.get(PODS, request.namespace, request.name) is not None
        return web.Response(status=200 if is_known else 404)

    async with a_running_server(store=LateStore(), forward=forward) as server, server.client() as client:
        await client.create(PODS, a_pod("p"), "default", into=bytes)
        await client.request("GET", PODS.path("default", "p", "log"))


async def test_a_node_may_read_at_once_what_its_new_pod_names() -> None:
    volume = {"name": "v", "configMap": {"name": "c"}}
    async with (
        a_running_server(store=LateStore()) as server,
        server.client() as admin,
        server.client("node-n1") as node,
    ):
        await admin.create(CONFIGMAPS, a_configmap(a="1"), "default", into=bytes)
        await admin.create(PODS, a_pod("p", nodeName="n1", volumes=[volume]), "default", into=bytes)
        assert (await node.get(CONFIGMAPS, "c", "default", into=dict))["data"] == {"a": "1"}


async def test_addresses_of_services_created_at_once_differ() -> None:
    async with a_running_server(store=LateStore()) as server, server.client() as client:

        async def one(number: int) -> str:
            spec = {"type": "NodePort", "ports": [{"port": 80}], "selector": {"a": "b"}}
            body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{number}"}, "spec": spec}
            made = await client.create(SERVICES, body, "default", into=dict)
            return f"{made['spec']['clusterIP']} {made['spec']['ports'][0]['nodePort']}"

        held = await asyncio.gather(*(one(number) for number in range(30)))
        assert len({pair.split()[0] for pair in held}) == 30
        assert len({pair.split()[1] for pair in held}) == 30
