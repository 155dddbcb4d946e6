"""What the API refuses for one object keeps no other waiting, in controllers that see to many in one go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.api.objects import Object
from orchestrator.api.resources import DEPLOYMENTS, NODES, PODS, REPLICASETS, Resource
from orchestrator.controllers.node_ipam.shell import NodeIpamController
from orchestrator.controllers.pod_garbage.shell import PodGarbageController
from orchestrator.controllers.registry import Registered
from orchestrator.machinery.errors import ApiError, Invalid
from tests.support.controllers import deployment_body, pod_template
from tests.support.simulation import SimulatedApi, SimulatedNodes, a_simulated_api, controlled, ready_node, until

pytestmark = pytest.mark.looptime

GARBAGE = Registered("pod-garbage", ("nodes", "pods"), PodGarbageController)
IPAM = Registered("node-ipam", ("nodes",), NodeIpamController)


def refusing(api: SimulatedApi, verb: str, resource: Resource, name: str) -> None:
    """From here on controllers can do this to all objects but one."""

    def refuse(method: str, kind: Resource, about: str) -> ApiError | None:
        return Invalid(f"{about} is invalid") if (method, kind, about) == (verb, resource, name) else None

    api.client.refuse = refuse


def in_order_of_change(pods: list[Object]) -> list[str]:
    """The order in which a cache holds them."""
    return [pod["metadata"]["name"] for pod in sorted(pods, key=lambda pod: int(pod["metadata"]["resourceVersion"]))]


def going(api: SimulatedApi) -> set[str]:
    return {pod["metadata"]["name"] for pod in api.all(PODS) if pod["metadata"].get("deletionTimestamp")}


def present(api: SimulatedApi) -> set[str]:
    return {pod["metadata"]["name"] for pod in api.all(PODS)}


def on(node: str, api: SimulatedApi) -> list[Object]:
    return [pod for pod in api.all(PODS) if pod["spec"].get("nodeName") == node]


async def six_pods(api: SimulatedApi) -> None:
    await api.put(DEPLOYMENTS, deployment_body("web", replicas=6))
    await until(lambda: [pod["status"].get("phase") for pod in api.all(PODS)] == ["Running"] * 6)


async def test_a_pod_that_cannot_be_evicted() -> None:
    async with a_simulated_api() as api, SimulatedNodes(api, "n1", "n2"), controlled(api):
        await six_pods(api)
        first, *others = in_order_of_change(on("n2", api))
        refusing(api, "patch", PODS, first)
        await api.change(NODES, "n2", lambda node: node["spec"].update(taints=[{"key": "k", "effect": "NoExecute"}]))
        await until(lambda: not present(api) & set(others), limit_s=10)
        assert first in present(api) - going(api)


async def test_a_pod_of_a_silent_node_that_cannot_be_marked() -> None:
    async with a_simulated_api() as api, SimulatedNodes(api, "n1", "n2"), controlled(api):
        await six_pods(api)
        first, *others = in_order_of_change(on("n2", api))
        refusing(api, "patch", PODS, first)
        await api.change(NODES, "n2", lambda node: node["metadata"].update(labels={"cut": "yes"}))

        def ready(pod: Object) -> str:
            return str(next(c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready"))

        def marked() -> set[str]:
            return {pod["metadata"]["name"] for pod in on("n2", api) if ready(pod) == "False"}

        await until(lambda: marked() == set(others), limit_s=60)


async def a_lost_pod(api: SimulatedApi, name: str) -> None:
    spec = {**pod_template()["spec"], "nodeName": "gone"}
    meta = {"name": name, "namespace": "default"}
    await api.put(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


@pytest.mark.parametrize("verb", ["patch", "delete"])
async def test_a_pod_that_cannot_be_removed(verb: str) -> None:
    async with a_simulated_api() as api, controlled(api, (GARBAGE,), orphan_quarantine_s=1.0):
        for name in ("first", "second", "third"):
            await a_lost_pod(api, name)
        refusing(api, verb, PODS, "first")
        await until(lambda: present(api) == {"first"}, limit_s=60)


async def test_a_node_that_cannot_be_given_a_range() -> None:
    async with a_simulated_api() as api:
        for name in ("n1", "n2", "n3"):
            await api.put(NODES, ready_node(name))
        refusing(api, "patch", NODES, "n1")
        async with controlled(api, (IPAM,)):
            await until(lambda: all(api.one(NODES, name)["spec"].get("podCIDR") for name in ("n2", "n3")), limit_s=10)


async def test_a_pod_that_cannot_be_orphaned() -> None:
    async with a_simulated_api() as api, SimulatedNodes(api, "n1"), controlled(api):
        await six_pods(api)
        first, *others = in_order_of_change(api.all(PODS))
        refusing(api, "patch", PODS, first)
        [replicaset] = api.all(REPLICASETS)
        await api.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
        await until(lambda: not api.all(DEPLOYMENTS))
        await api.delete(REPLICASETS, replicaset["metadata"]["name"], "default", propagation="Orphan")

        def owned() -> set[str]:
            return {pod["metadata"]["name"] for pod in api.all(PODS) if pod["metadata"].get("ownerReferences")}

        await until(lambda: owned() == {first}, limit_s=10)
        api.client.refuse = lambda method, resource, name: None
        await until(lambda: not owned() and not api.all(REPLICASETS), limit_s=120)
        assert present(api) == {first, *others}


async def test_a_node_whose_own_word_comes_while_it_is_written_off_keeps_it() -> None:
    seen: list[str] = []

    def observe(_: str, resource: Resource, node: Object) -> None:
        if resource == NODES and node["metadata"]["name"] == "n2":
            seen.append(next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"))

    async with a_simulated_api() as api, SimulatedNodes(api, "n1", "n2"):
        speaks: list[Callable[[Object], None]] = [
            lambda node: node["status"]["conditions"][0].update(lastHeartbeatTime="2030-01-01T00:00:00Z")
        ]

        async def meanwhile(method: str, resource: Resource, name: str) -> None:
            if (method, resource, name) == ("patch", NODES, "n2") and written_off.is_set() and speaks:
                await api.change(NODES, "n2", speaks.pop())

        written_off = asyncio.Event()
        api.client.meanwhile = meanwhile
        async with controlled(api):
            await until(lambda: api.one(NODES, "n2")["spec"].get("podCIDR"))
            await api.change(NODES, "n2", lambda node: node["metadata"].update(labels={"cut": "yes"}))
            api.observers.append(observe)
            written_off.set()
            await until(lambda: not speaks, limit_s=60)
            await asyncio.sleep(20)
            assert set(seen) == {"True"}
            await until(lambda: seen[-1] == "Unknown", limit_s=60)
