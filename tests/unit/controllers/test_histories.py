"""Whole histories of workloads, drawn by chance: templates, sizes, pauses, undo, losses and faults in any order.

Each runs on the simulated cluster. Some things hold at every moment; when the history ends and the faults with it, the
cluster comes to what was asked for last, and then nothing is written any more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.api.objects import Object
from orchestrator.api.resources import CONTROLLERREVISIONS, DEPLOYMENTS, PODS, REPLICASETS, STATEFULSETS, Resource
from orchestrator.controllers.deployment.rollout import REVISION
from tests.support.controllers import deployment_body, statefulset_body
from tests.support.simulation import SimulatedApi, SimulatedNodes, a_simulated_api, controlled, until

pytestmark = pytest.mark.looptime

BROKEN = "broken"
IMAGES = ("nginx:1", "nginx:2", "nginx:3")

Step = tuple[Any, ...]

FAULTS = [
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.4, 1.2, 6.0])),
    st.tuples(st.just("lose-watches")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("lag"), st.sampled_from([0.0, 0.001, 0.3, 2.0])),
    st.tuples(st.just("lose-answers"), st.sampled_from([0.0, 0.3])),
    st.tuples(st.just("lose-pods"), st.integers(1, 3)),
]
DEPLOYMENT_STEPS = st.one_of(
    st.tuples(st.just("image"), st.sampled_from([*IMAGES, BROKEN])),
    st.tuples(st.just("replicas"), st.integers(0, 6)),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("limits"), st.sampled_from([(1, 0), (0, 1), ("50%", "25%"), (2, 2)])),
    st.tuples(st.just("undo")),
    st.tuples(st.just("stray-pod")),
    *FAULTS,
)
STATEFULSET_STEPS = st.one_of(
    st.tuples(st.just("image"), st.sampled_from(IMAGES)),
    st.tuples(st.just("replicas"), st.integers(0, 4)),
    st.tuples(st.just("partition"), st.integers(0, 4)),
    st.tuples(st.just("apply-anew")),
    *FAULTS,
)

# Without shrinking: a history that fails is short enough to read, and a shorter one takes minutes to find.
a_few_histories = settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def image_of(obj: Object) -> str:
    spec = obj["spec"]["template"]["spec"] if "template" in obj["spec"] else obj["spec"]
    image: str = spec["containers"][0]["image"]
    return image


def stays(pod: Object) -> bool:
    return not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return stays(pod) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


class World:
    """A cluster to which things happen; `broken` collects what must never be seen."""

    def __init__(self, api: SimulatedApi, resource: Resource, key: str, dice: random.Random) -> None:
        self.api = api
        self.resource, self.key = resource, key
        self.dice = dice
        self.processes = AsyncExitStack()
        self.broken: list[str] = []

    @property
    def object(self) -> Object:
        return self.api.one(self.resource, self.key)

    async def start(self) -> None:
        await self.processes.enter_async_context(controlled(self.api))

    async def set(self, change: Callable[[Object], Any]) -> None:
        await self.api.change(self.resource, self.key, change)

    async def happens(self, step: Step) -> None:
        """One step of the history that is not the workload's own."""
        match step:
            case ("wait", seconds):
                await asyncio.sleep(seconds)
            case ("lose-watches",):
                self.api.client.lose_watches()
            case ("restart",):
                await self.processes.aclose()
                await self.start()
            case ("lag", seconds):
                self.api.client.watch_lag_s = seconds
            case ("lose-answers", share):
                self.api.client.loses_answer = lambda method, resource: self.dice.random() < share
            case ("lose-pods", count):
                names = sorted(pod["metadata"]["name"] for pod in self.api.all(PODS))
                for name in self.dice.sample(names, min(count, len(names))):
                    await self.api.remove(PODS, f"default/{name}")
            case ("image", image):
                await self.set(lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image=image))
            case ("replicas", replicas):
                await self.set(lambda obj: obj["spec"].update(replicas=replicas))
            case _:
                raise AssertionError(f"no such step: {step}")

    def end_faults(self) -> None:
        self.api.client.watch_lag_s = 0.001
        self.api.client.loses_answer = lambda method, resource: False

    async def is_quiet(self) -> bool:
        """Whether nothing is written any more, but by nodes and about events, once the last status is."""

        def count() -> int:
            return len([write for write in self.api.writes if write[1] not in ("nodes", "events")])

        await asyncio.sleep(5)
        before = count()
        await asyncio.sleep(120)
        return count() == before


@asynccontextmanager
async def a_world(resource: Resource, body: Object, dice: random.Random) -> AsyncIterator[World]:
    key = f"default/{body['metadata']['name']}"
    async with a_simulated_api() as api, SimulatedNodes(api, "n1", "n2", "n3") as nodes:
        nodes.is_broken = lambda pod: image_of(pod) == BROKEN
        world = World(api, resource, key, dice)
        await api.put(resource, body)
        async with world.processes:
            await world.start()
            yield world


def watch_deployment(world: World) -> None:
    """At every moment: one ReplicaSet a template, and never more wanted than the largest size ever allowed."""
    allowed = [0]

    def look(type_: str, resource: Resource, obj: Object) -> None:
        if resource == DEPLOYMENTS and type_ != "DELETED":
            rolling, wanted = obj["spec"]["strategy"]["rollingUpdate"], obj["spec"]["replicas"]
            surge = rolling["maxSurge"]
            allowed.append(wanted + (surge if isinstance(surge, int) else -(-wanted * int(surge[:-1]) // 100)))
        if resource == REPLICASETS:
            sets = world.api.all(REPLICASETS)
            twice = [image for image, count in Counter(map(image_of, sets)).items() if count > 1]
            if twice:
                world.broken.append(f"two replica sets of {twice}")
            wanted = sum(rs["spec"]["replicas"] for rs in sets)
            if wanted > max(allowed):
                world.broken.append(f"{wanted} pods wanted where {max(allowed)} are allowed")

    look("MODIFIED", DEPLOYMENTS, world.object)
    world.api.observers.append(look)


async def happens_to_a_deployment(world: World, step: Step, undo: list[str]) -> None:
    match step:
        case ("pause", paused):
            await world.set(lambda obj: obj["spec"].update(paused=paused))
        case ("limits", (surge, unavailable)):
            rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
            await world.set(lambda obj: obj["spec"]["strategy"].update(rollingUpdate=rolling))
        case ("undo",):
            if len(undo) > 1:
                undo.pop()
                await world.happens(("image", undo[-1]))
        case ("stray-pod",):
            pods = [pod for pod in world.api.all(PODS) if stays(pod)]
            if pods:
                key = f"default/{world.dice.choice(pods)['metadata']['name']}"
                await world.api.change(PODS, key, lambda pod: pod["metadata"]["labels"].update(app="stray"))
        case _:
            if step[0] == "image":
                undo.append(step[1])
            await world.happens(step)


@a_few_histories
@given(history=st.lists(DEPLOYMENT_STEPS, max_size=10), seed=st.integers(0, 2**32))
async def test_a_deployment_comes_to_what_was_asked_for_last(history: list[Step], seed: int) -> None:
    body = deployment_body("web", replicas=3, max_surge=1, max_unavailable=1)
    body["spec"]["revisionHistoryLimit"] = 1
    async with a_world(DEPLOYMENTS, body, random.Random(seed)) as world:
        api = world.api
        watch_deployment(world)
        undo = ["nginx:1"]
        for step in history:
            await happens_to_a_deployment(world, step, undo)
        world.end_faults()
        if image_of(world.object) == BROKEN:
            await world.happens(("image", "nginx:4"))
        await world.set(lambda obj: obj["spec"].update(paused=False))
        wanted, image = world.object["spec"]["replicas"], image_of(world.object)

        def has_arrived() -> bool:
            pods = [pod for pod in api.all(PODS) if pod["metadata"]["labels"]["app"] == "web"]
            status = world.object["status"]
            return (
                len(pods) == sum(map(is_ready, pods)) == wanted
                and {image_of(pod) for pod in pods} <= {image}
                and status.get("observedGeneration") == world.object["metadata"]["generation"]
                and status.get("replicas", 0) == status.get("updatedReplicas", 0) == wanted
                and status.get("availableReplicas", 0) == status.get("readyReplicas", 0) == wanted
                and not status.get("unavailableReplicas", 0)
                and not status.get("terminatingReplicas", 0)
            )

        await until(has_arrived)
        assert await world.is_quiet()
        assert world.broken == []
        conditions = {c["type"]: c["reason"] for c in world.object["status"]["conditions"]}
        assert conditions == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
        sets = {image_of(rs): rs for rs in api.all(REPLICASETS)}
        assert len(sets) <= 2  # the one in use, and one of history
        numbers = {name: int(rs["metadata"]["annotations"][REVISION]) for name, rs in sets.items()}
        assert numbers[image] == max(numbers.values()) == int(world.object["metadata"]["annotations"][REVISION])
        assert len(set(numbers.values())) == len(numbers)
        strays = [pod for pod in api.all(PODS) if pod["metadata"]["labels"]["app"] == "stray"]
        assert not any(pod["metadata"].get("ownerReferences") for pod in strays)


async def happens_to_a_statefulset(world: World, step: Step) -> None:
    match step:
        case ("partition", partition):
            rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
            await world.set(lambda obj: obj["spec"]["updateStrategy"].update(rolling))
        case ("apply-anew",):
            spec = world.object["spec"]
            await world.api.delete(STATEFULSETS, "db", "default", propagation="Orphan")
            await until(lambda: not world.api.all(STATEFULSETS))
            body = statefulset_body("db")
            await world.api.put(STATEFULSETS, {**body, "spec": spec})
        case _:
            await world.happens(step)


@a_few_histories
@given(
    history=st.lists(STATEFULSET_STEPS, max_size=10),
    parallel=st.booleans(),
    start=st.sampled_from([0, 3]),
    seed=st.integers(0, 2**32),
)
async def test_a_statefulset_comes_to_what_was_asked_for_last(
    history: list[Step], parallel: bool, start: int, seed: int
) -> None:
    body = statefulset_body("db", replicas=2, policy="Parallel" if parallel else "OrderedReady")
    body["spec"] |= {"revisionHistoryLimit": 1, "ordinals": {"start": start}}
    async with a_world(STATEFULSETS, body, random.Random(seed)) as world:
        api = world.api
        for step in history:
            await happens_to_a_statefulset(world, step)
        world.end_faults()
        await happens_to_a_statefulset(world, ("partition", 0))
        wanted, image = world.object["spec"]["replicas"], image_of(world.object)

        def has_arrived() -> bool:
            pods, status = api.all(PODS), world.object["status"]
            return (
                len(pods) == sum(map(is_ready, pods)) == wanted
                and {image_of(pod) for pod in pods} <= {image}
                and {pod["metadata"]["name"] for pod in pods} == {f"db-{start + n}" for n in range(wanted)}
                and status.get("observedGeneration") == world.object["metadata"]["generation"]
                and status.get("currentRevision") == status.get("updateRevision")
                and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == wanted
            )

        await until(has_arrived)
        assert await world.is_quiet()
        revisions = api.all(CONTROLLERREVISIONS)
        assert len(revisions) <= 2  # the one in use, and one of history
        in_use = {revision["metadata"]["name"]: revision for revision in revisions}[
            world.object["status"]["updateRevision"]
        ]
        assert in_use["revision"] == max(revision["revision"] for revision in revisions)


@a_few_histories
@given(
    losses=st.lists(st.one_of(*FAULTS), max_size=10),
    partition=st.integers(0, 4),
    parallel=st.booleans(),
    start=st.sampled_from([0, 3]),
    seed=st.integers(0, 2**32),
)
async def test_a_partition_holds_whatever_is_lost(
    losses: list[Step], partition: int, parallel: bool, start: int, seed: int
) -> None:
    body = statefulset_body("db", replicas=4, policy="Parallel" if parallel else "OrderedReady")
    body["spec"]["ordinals"] = {"start": start}
    async with a_world(STATEFULSETS, body, random.Random(seed)) as world:
        api = world.api
        await until(lambda: sum(map(is_ready, api.all(PODS))) == 4)
        await until(lambda: world.object["status"].get("updatedReplicas") == 4)
        await happens_to_a_statefulset(world, ("partition", partition))
        await world.happens(("image", "nginx:2"))
        kept = {f"db-{start + number}" for number in range(partition)}

        def look(type_: str, resource: Resource, pod: Object) -> None:
            if resource == PODS and pod["metadata"]["name"] in kept and image_of(pod) != "nginx:1":
                world.broken.append(f"{pod['metadata']['name']} below the partition is of {image_of(pod)}")

        api.observers.append(look)
        for step in losses:
            await world.happens(step)
        world.end_faults()

        def has_arrived() -> bool:
            found = {pod["metadata"]["name"]: image_of(pod) for pod in api.all(PODS) if is_ready(pod)}
            names = [f"db-{start + number}" for number in range(4)]
            seen = world.object["status"]["observedGeneration"] == world.object["metadata"]["generation"]
            return seen and found == {name: "nginx:1" if name in kept else "nginx:2" for name in names}

        await until(has_arrived)
        assert await world.is_quiet()
        assert world.broken == []
