"""The scheduler against a running API server: pods are bound, or told why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from orchestrator.api.resources import CORE_EVENTS, NODES, PODS
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import Unreachable
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.scheduler.shell import Scheduler
from tests.support.server import RunningServer
from tests.support.waiting import wait_object, wait_objects


@pytest.fixture
async def client(api_server: RunningServer) -> AsyncIterator[Client]:
    async with api_server.client() as client:
        yield client


@pytest.fixture
async def scheduling(api_server: RunningServer) -> AsyncIterator[None]:
    """A scheduler with its own identity runs for the length of the test."""
    async with api_server.client("scheduler") as own:
        task = asyncio.get_running_loop().create_task(Scheduler(own, SystemClock()).run(), name="scheduler")
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def add_node(client: Client, name: str, *, cpu: str = "4") -> None:
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}, into=bytes)
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    status = {"status": {"allocatable": allocatable, "capacity": allocatable}}
    await client.patch(NODES, name, status, into=bytes, subresource="status")
    await client.patch(NODES, name, {"spec": {"taints": None}}, into=bytes)


def a_pod(name: str, *, cpu: str = "100m", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "nginx:1.16", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }


async def pod_when(client: Client, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return await wait_object(client, PODS, name, holds)


def is_bound(pod: dict[str, Any]) -> bool:
    return bool(pod["spec"].get("nodeName"))


@pytest.mark.usefixtures("scheduling")
async def test_pods_are_spread_over_the_nodes_and_told_so(client: Client) -> None:
    await add_node(client, "n1")
    await add_node(client, "n2")
    for name in ("a", "b"):
        await client.create(PODS, a_pod(name, cpu="3"), "default", into=bytes)
    bound = [await pod_when(client, name, is_bound) for name in ("a", "b")]
    assert {pod["spec"]["nodeName"] for pod in bound} == {"n1", "n2"}
    assert any(c["type"] == "PodScheduled" and c["status"] == "True" for c in bound[0]["status"]["conditions"])
    await wait_objects(
        client, CORE_EVENTS, lambda events: sum(e["reason"] == "Scheduled" for e in events.values()) == 2
    )


@pytest.mark.usefixtures("scheduling")
async def test_a_pod_that_fits_nowhere_says_why_and_goes_as_soon_as_there_is_room(client: Client) -> None:
    await add_node(client, "n1", cpu="1")
    await client.create(PODS, a_pod("big", cpu="2"), "default", into=bytes)

    def is_refused(pod: dict[str, Any]) -> bool:
        # Pods and nodes are watched apart: the pod may be seen, and refused, before the node is as it is to be.
        why = "0/1 nodes are available: 1 Insufficient cpu."
        return any(c["type"] == "PodScheduled" and c["message"] == why for c in pod["status"].get("conditions", ()))

    pod = await pod_when(client, "big", is_refused)
    (condition,) = (c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled")
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    await add_node(client, "n2", cpu="4")
    assert (await pod_when(client, "big", is_bound))["spec"]["nodeName"] == "n2"


@pytest.mark.usefixtures("scheduling")
async def test_room_that_a_deleted_pod_leaves_is_used(client: Client) -> None:
    await add_node(client, "n1", cpu="2")
    await client.create(PODS, a_pod("first", cpu="2"), "default", into=bytes)
    await pod_when(client, "first", is_bound)
    await client.create(PODS, a_pod("second", cpu="2"), "default", into=bytes)
    await pod_when(client, "second", lambda pod: bool(pod["status"].get("conditions")))
    await client.delete(PODS, "first", "default", grace_s=0)
    await pod_when(client, "second", is_bound)


@pytest.mark.usefixtures("scheduling")
async def test_a_finished_pod_needs_no_room(client: Client) -> None:
    await add_node(client, "n1", cpu="2")
    await client.create(PODS, a_pod("first", cpu="2"), "default", into=bytes)
    await pod_when(client, "first", is_bound)
    done = {"status": {"phase": "Succeeded"}}
    await client.patch(PODS, "first", done, "default", into=bytes, subresource="status", patch_type=STRATEGIC_PATCH)
    await client.create(PODS, a_pod("second", cpu="2"), "default", into=bytes)
    await pod_when(client, "second", is_bound)


class LosesReplies(Client):
    """A binding is written, but its reply is lost, when `lost` says so."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(config)
        self.lost = asyncio.Event()

    async def create(self, *args: Any, **given: Any) -> Any:
        answer = await super().create(*args, **given)
        if given.get("subresource") == "binding":
            await self.lost.wait()
            raise Unreachable("the reply was lost")
        return answer


async def test_a_pod_whose_binding_was_written_takes_its_room_though_the_reply_was_lost(
    api_server: RunningServer, client: Client
) -> None:
    async with LosesReplies(api_server.config("scheduler")) as own:
        task = asyncio.get_running_loop().create_task(Scheduler(own, SystemClock()).run(), name="scheduler")
        await add_node(client, "n1", cpu="2")
        await client.create(PODS, a_pod("first", cpu="2"), "default", into=bytes)
        await pod_when(client, "first", is_bound)
        # Whatever comes after it was seen: when this one is refused, the scheduler has heard of the binding.
        await client.create(PODS, a_pod("between", cpu="2"), "default", into=bytes)
        await pod_when(client, "between", lambda pod: bool(pod["status"].get("conditions")))
        own.lost.set()
        await client.create(PODS, a_pod("second", cpu="2"), "default", into=bytes)
        second = await pod_when(client, "second", lambda pod: bool(pod["status"].get("conditions")))
        assert not is_bound(second)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.usefixtures("scheduling")
async def test_pods_of_other_schedulers_and_gated_pods_are_left_alone(client: Client) -> None:
    await add_node(client, "n1")
    await client.create(PODS, a_pod("foreign", schedulerName="another"), "default", into=bytes)
    await client.create(PODS, a_pod("gated", schedulingGates=[{"name": "example.org/wait"}]), "default", into=bytes)
    await client.create(PODS, a_pod("ours"), "default", into=bytes)
    await pod_when(client, "ours", is_bound)
    for name in ("foreign", "gated"):
        assert not is_bound(await client.get(PODS, name, "default", into=dict))
    await client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, "default", into=bytes)
    await pod_when(client, "gated", is_bound)
