"""Whole histories of a cluster under the scheduler, drawn by chance, with faults in any order.

When the history ends and the faults with it, every pod that fits somewhere has its node, the others are told why not,
and the table is what a recount of the pods gives.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.api.objects import Object
from orchestrator.api.resources import NODES, PODS
from orchestrator.api.views.scheduling import NodeView, PodView
from orchestrator.machinery.errors import ApiError
from orchestrator.scheduler.place import FixedCache, Placed, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from orchestrator.scheduler.request import CPU, MEMORY, Demands
from orchestrator.scheduler.request import PODS as COUNT
from orchestrator.scheduler.shell import Scheduler
from orchestrator.scheduler.table import NodeTable
from tests.support.controllers import a_view
from tests.support.simulation import SimulatedApi, a_simulated_api, ready_node

pytestmark = pytest.mark.looptime

Step = tuple[Any, ...]
FEW = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(
        st.just("node"),
        FEW,
        st.sampled_from(["1", "2", "4"]),
        st.sampled_from(["ssd", "hdd"]),
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.just("remove-node"), FEW),
    st.tuples(
        st.just("pod"),
        st.sampled_from(["100m", "1", "2"]),
        st.sampled_from(["ssd", None]),
        st.sampled_from([0, 0, 80]),
        st.booleans(),
    ),
    st.tuples(
        st.just("pod"),
        st.sampled_from(["100m", "1", "2"]),
        st.sampled_from(["ssd", None]),
        st.sampled_from([0, 0, 80]),
        st.booleans(),
    ),
    st.tuples(st.just("delete"), FEW),
    st.tuples(st.just("begin-to-delete"), FEW),
    st.tuples(st.just("finish"), FEW),
    st.tuples(st.just("relabel"), FEW),
    st.tuples(st.just("ungate"), FEW),
    st.tuples(st.just("bind"), FEW, FEW),
    st.tuples(st.just("again"), FEW),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.4, 1.2, 6.0])),
    st.tuples(st.just("lose-watches")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("lag"), st.sampled_from([0.0, 0.001, 0.3, 2.0])),
    st.tuples(st.just("lose-answers"), st.sampled_from([0.0, 0.3])),
)

a_few_histories = settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def pod_body(name: str, cpu: str, disk: str | None, port: int, gated: bool = False) -> Object:
    container: Object = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    if port:
        container["ports"] = [{"containerPort": port, "hostPort": port}]
    spec: Object = {"containers": [container], "terminationGracePeriodSeconds": 1}
    if disk:
        spec["nodeSelector"] = {"disk": disk}
    if gated:
        spec["schedulingGates"] = [{"name": "example.org/g"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


class World:
    """A few nodes and pods, a scheduler, and what others do to them."""

    def __init__(self, api: SimulatedApi, dice: random.Random) -> None:
        self.api, self.dice = api, dice
        self.scheduler: Scheduler
        self.process = AsyncExitStack()
        self.made = 0

    async def start(self) -> None:
        await self.process.enter_async_context(self._running())

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        client: Any = self.api.client
        self.scheduler = Scheduler(client, self.api.clock)
        task = asyncio.ensure_future(self.scheduler.run())
        try:
            yield
        finally:
            if task.done():
                task.result()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def pick(self, number: int) -> Object | None:
        pods = sorted(self.api.all(PODS), key=lambda pod: str(pod["metadata"]["name"]))
        return pods[number % len(pods)] if pods else None

    async def happens(self, step: Step) -> None:
        api = self.api
        match step:
            case ("node", number, cpu, disk, tainted, cordoned):
                name = f"n{number}"
                if not any(node["metadata"]["name"] == name for node in api.all(NODES)):
                    await api.put(NODES, ready_node(name))
                room = {"cpu": cpu, "memory": "8Gi", "pods": "3"}
                taints = [{"key": "k", "effect": "NoSchedule"}] if tainted else []

                def change(node: Object) -> None:
                    node["metadata"].setdefault("labels", {})["disk"] = disk
                    node["spec"] = {**node["spec"], "taints": taints, "unschedulable": cordoned}
                    node["status"].update(allocatable=room, capacity=room)

                await api.change(NODES, name, change)
            case ("remove-node", number):
                if any(node["metadata"]["name"] == f"n{number}" for node in api.all(NODES)):
                    await api.remove(NODES, f"n{number}")
            case ("pod", cpu, disk, port, gated):
                self.made += 1
                await api.put(PODS, pod_body(f"p{self.made:03}", cpu, disk, port, gated))
            case ("wait", seconds):
                await asyncio.sleep(seconds)
            case ("lose-watches",):
                api.client.lose_watches()
            case ("restart",):
                await self.process.aclose()
                await self.start()
            case ("lag", seconds):
                api.client.watch_lag_s = seconds
            case ("lose-answers", share):
                api.client.loses_answer = lambda method, resource: self.dice.random() < share
            case (what, number, *more):
                pod = self.pick(number)
                if pod is not None:
                    with suppress(ApiError):  # what cannot be done to the pod that was picked does not happen
                        await self.happens_to(pod, what, *more)

    async def happens_to(self, pod: Object, what: str, *more: Any) -> None:
        api, name = self.api, pod["metadata"]["name"]
        key = f"default/{name}"
        match what:
            case "delete":
                await api.remove(PODS, key)
            case "begin-to-delete":
                await api.delete(PODS, name, "default")
            case "again":
                await api.remove(PODS, key)
                await api.put(PODS, pod_body(name, "1", None, 0))
            case "finish":
                if pod["spec"].get("nodeName"):
                    await api.change(PODS, key, lambda one: one["status"].update(phase="Succeeded"))
            case "relabel":
                await api.change(PODS, key, lambda one: one["metadata"].update(labels={"a": str(self.dice.random())}))
            case "ungate":
                await api.change(PODS, key, lambda one: one["spec"].pop("schedulingGates", None))
            case "bind":
                body = {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": name, "namespace": "default"},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": f"n{more[0]}"},
                }
                await api.admin.create(PODS, body, "default", into=dict, name=name, subresource="binding")
            case _:
                raise AssertionError(what)

    def recount(self) -> tuple[NodeTable, list[PodView]]:
        table, demands, waiting = NodeTable(), Demands(), []
        for node in self.api.all(NODES):
            table.set_node(a_view(NodeView, node))
        for body in self.api.all(PODS):
            pod: PodView = a_view(PodView, body)
            if pod.is_terminal:
                continue
            if pod.spec.node_name:
                table.add_pod(demands.request_of(pod), pod.spec.node_name)
            elif not pod.spec.scheduling_gates and pod.metadata.deletion_timestamp is None:
                waiting.append(pod)
        return table, waiting


def used(table: NodeTable) -> dict[str, list[int]]:
    return {
        name: [int(table.used[resource].shown[row]) for resource in (CPU, MEMORY, COUNT)]
        for row, name in enumerate(table.names)
        if name
    }


@a_few_histories
@given(history=st.lists(STEPS, max_size=30), seed=st.integers(0, 2**32))
async def test_every_pod_that_fits_comes_to_a_node_and_what_is_counted_is_there(history: list[Step], seed: int) -> None:
    async with a_simulated_api() as api:
        world = World(api, random.Random(seed))
        async with world.process:
            await world.start()
            for step in history:
                await world.happens(step)
            api.client.watch_lag_s = 0.001
            api.client.loses_answer = lambda method, resource: False
            await asyncio.sleep(40)
            table, waiting = world.recount()
            left = [
                pod.metadata.name
                for pod in waiting
                if isinstance(place(Demands().request_of(pod), table, DEFAULT_PROFILE, FixedCache()), Placed)
            ]
            assert not left
            assert used(world.scheduler._table) == used(table)
            told = {pod.metadata.name: [c.message for c in pod.status.conditions] for pod in waiting}
            assert all(told.values()), told
            assert len(world.scheduler._pending) == len(waiting)
