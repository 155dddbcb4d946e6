"""An object that no view can be made of comes with every list and every watch: each kind of process goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from netproxy.config import Config as ProxyConfig
from netproxy.serve import Proxy
from orchestrator.api.resources import DEPLOYMENTS, NODES, PODS, REPLICASETS, SERVICES, Resource
from orchestrator.api.views.pods import Pod
from orchestrator.controllers.context import ControllersConfig
from orchestrator.controllers.registry import run_all
from orchestrator.machinery.client import Client, Listing
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.watch_stream import WatchEvent
from orchestrator.scheduler.shell import Scheduler
from tests.support.controllers import deployment_body, service_body
from tests.support.runtime import PodSide
from tests.support.server import RunningServer, a_pod
from tests.support.simulation import ready_node
from tests.support.waiting import wait_object, wait_objects

POISON = b'{"metadata":{"name":"poison","namespace":"default","uid":"p","resourceVersion":"1","labels":7},"spec":[]}'


class Poisoned(Client):
    """Every list holds, and every watch begins with, an object that is no view."""

    async def list(self, *args: Any, **given: Any) -> Listing[Any]:
        listing = await super().list(*args, **given)
        if given["into"] is not msgspec.Raw:
            return listing
        return replace(listing, items=(msgspec.Raw(POISON), *listing.items))

    async def watch(self, resource: Resource, *args: Any, **given: Any) -> AsyncIterator[WatchEvent]:
        for type_ in ("ADDED", "MODIFIED", "DELETED"):
            yield WatchEvent(type_, POISON)
        async for event in super().watch(resource, *args, **given):
            yield event


@asynccontextmanager
async def beside(running: Callable[[], Awaitable[None]]) -> AsyncIterator[asyncio.Future[None]]:
    """Run it meanwhile; what it raises ends the test."""
    task = asyncio.ensure_future(running())
    try:
        yield task
    finally:
        assert not task.done(), "it must go on for ever"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def poisoned(resources: Iterable[Resource]) -> dict[str, bool]:
    """Of which resources something undecodable was counted."""
    labels = [(resource.plural, {"resource": resource.plural, "what": "decode"}) for resource in resources]
    return {
        plural: bool(REGISTRY.get_sample_value("wherry_informer_failures_total", label)) for plural, label in labels
    }


async def test_controllers_go_on(api_server: RunningServer) -> None:
    async with (
        api_server.client() as client,
        Poisoned(api_server.config("controllers")) as theirs,
        beside(lambda: run_all(theirs, SystemClock(), ControllersConfig())),
    ):
        await client.create(NODES, ready_node("n1"), into=bytes)
        await client.create(DEPLOYMENTS, deployment_body("web"), "default", into=bytes)
        await wait_objects(client, REPLICASETS, lambda found: bool(found))
        await wait_objects(client, PODS, lambda found: bool(found))
    assert all(poisoned([PODS, REPLICASETS, NODES, SERVICES]).values())


async def test_the_scheduler_goes_on(api_server: RunningServer) -> None:
    async with (
        api_server.client() as client,
        Poisoned(api_server.config("scheduler")) as its,
        beside(Scheduler(its, SystemClock()).run),
    ):
        await client.create(NODES, ready_node("n1"), into=bytes)
        room = {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}
        await client.patch(NODES, "n1", {"status": room}, into=bytes, subresource="status")
        await client.patch(NODES, "n1", {"spec": {"taints": None}}, into=bytes)
        await client.create(PODS, a_pod("web"), "default", into=bytes)
        await wait_object(client, PODS, "web", lambda pod: bool(pod["spec"].get("nodeName")))


class NoRoutes:
    async def follow(self, wanted: Iterable[str], *, again: bool = False) -> None:
        pass


async def test_the_proxy_goes_on(api_server: RunningServer) -> None:
    proxy = Proxy(ProxyConfig(node_name="n1", node_ip="192.0.2.1", workers=1), SystemClock(), NoRoutes())
    async with (
        api_server.client() as client,
        Poisoned(api_server.config("proxy")) as its,
        beside(lambda: proxy._watch(its)),
    ):
        await client.create(SERVICES, service_body("web"), "default", into=bytes)
        async with asyncio.timeout(20):
            while not proxy.cluster.state().services:  # noqa: ASYNC110 - the proxy has no event for it
                await asyncio.sleep(0.02)


async def test_the_node_agent_goes_on(api_server: RunningServer, tmp_path: Any) -> None:
    async with api_server.client() as client, Poisoned(api_server.config("node-n1")) as its:
        await client.create(NODES, ready_node("n1"), into=bytes)
        pods = Informer(its, PODS, Pod, field_selector="spec.nodeName=n1")
        async with beside(pods.run), PodSide(tmp_path, pods=pods) as side:
            containers = [{"name": "c", "image": "busybox:1.36"}]
            pod = a_pod("web", nodeName="n1", containers=containers, automountServiceAccountToken=False)
            await client.create(PODS, pod, "default", into=bytes)
            await side.wait(lambda: bool(side.running("c")), timeout_s=20)
