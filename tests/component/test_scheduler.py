"""The scheduler against a running API server: pods are bound, or told why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.api.resources import CORE_EVENTS, NODES, PODS
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import Unreachable
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.scheduler.changes import Happened
from orchestrator.scheduler.columns import Mask
from orchestrator.scheduler.plugins.resources import Fits
from orchestrator.scheduler.profile import DEFAULT_PROFILE, Profile
from orchestrator.scheduler.request import PodRequest
from orchestrator.scheduler.shell import NAME, Scheduler
from orchestrator.scheduler.table import NodeTable
from tests.support.server import RunningServer
from tests.support.waiting import wait_object, wait_objects


@pytest.fixture
async def client(api_server: RunningServer) -> AsyncIterator[Client]:
    async with api_server.client() as client:
        yield client


@asynccontextmanager
async def running(client: Client, profiles: Mapping[str, Profile] | None = None) -> AsyncIterator[None]:
    """A scheduler runs with this client for the length of the block."""
    task = asyncio.get_running_loop().create_task(
        Scheduler(client, SystemClock(), profiles=profiles).run(), name="scheduler"
    )
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
async def scheduling(api_server: RunningServer) -> AsyncIterator[None]:
    """A scheduler with its own identity runs for the length of the test."""
    async with api_server.client("scheduler") as own, running(own):
        yield


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
    async with LosesReplies(api_server.config("scheduler")) as own, running(own):
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


@pytest.mark.usefixtures("scheduling")
async def test_one_pod_that_asks_for_absurd_amounts_stops_nobody_from_being_scheduled(client: Client) -> None:
    await add_node(client, "n1")
    await add_node(client, "n2")
    greedy = {"image": "nginx:1.16", "resources": {"requests": {"cpu": "16Ei", "memory": "16Ei"}}}
    containers = [{"name": f"c{number}", **greedy} for number in range(1_100)]
    bound = {**a_pod("bound"), "spec": {"nodeName": "n1", "containers": containers}}
    await client.create(PODS, bound, "default", into=bytes)
    pending = {**a_pod("pending"), "spec": {"containers": containers}}
    await client.create(PODS, pending, "default", into=bytes)
    for number in range(3):
        await client.create(PODS, a_pod(f"p{number}"), "default", into=bytes)
        assert (await pod_when(client, f"p{number}", is_bound))["spec"]["nodeName"] == "n2"
    pending = await pod_when(client, "pending", lambda pod: bool(pod["status"].get("conditions")))
    assert not is_bound(pending)
    await client.delete(PODS, "bound", "default", grace_s=0)
    await client.create(PODS, a_pod("last", cpu="3800m"), "default", into=bytes)
    assert (await pod_when(client, "last", is_bound))["spec"]["nodeName"] == "n1"


class ChokesOn(Fits):
    """Fails on pods that ask for this resource, as only a fault of our own would."""

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        if "example.org/choke" in pod.demand.amounts:
            raise ZeroDivisionError
        return super().mask(pod, nodes)


class ChokesAtBinding(Client):
    """The first binding of each pod fails in a way that nobody foresaw."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(config)
        self.failed: set[str] = set()

    async def create(self, *args: Any, **given: Any) -> Any:
        if given.get("subresource") == "binding" and given["name"] not in self.failed:
            self.failed.add(given["name"])
            raise ZeroDivisionError
        return await super().create(*args, **given)


async def test_a_pod_on_which_a_plugin_fails_is_told_so_and_the_others_go_on(
    api_server: RunningServer, client: Client
) -> None:
    profile = replace(DEFAULT_PROFILE, filters=(ChokesOn(),))
    async with api_server.client("scheduler") as own, running(own, {NAME: profile}):
        await add_node(client, "n1")
        choking = a_pod("choking")
        resources = {"requests": {"example.org/choke": "1"}, "limits": {"example.org/choke": "1"}}
        choking["spec"]["containers"][0]["resources"] = resources
        await client.create(PODS, choking, "default", into=bytes)
        told = await pod_when(client, "choking", lambda pod: bool(pod["status"].get("conditions")))
        assert told["status"]["conditions"][0]["reason"] == "SchedulerError"
        await client.create(PODS, a_pod("other"), "default", into=bytes)
        await pod_when(client, "other", is_bound)


async def test_a_binding_that_fails_unforeseen_is_tried_again(api_server: RunningServer, client: Client) -> None:
    async with ChokesAtBinding(api_server.config("scheduler")) as own, running(own):
        await add_node(client, "n1", cpu="1")
        await client.create(PODS, a_pod("p", cpu="1"), "default", into=bytes)
        await pod_when(client, "p", is_bound)
        assert own.failed == {"p"}


async def test_profiles_place_pods_of_their_names_over_one_table(api_server: RunningServer, client: Client) -> None:
    careless = replace(DEFAULT_PROFILE, filters=())
    async with api_server.client("scheduler") as own, running(own, {NAME: DEFAULT_PROFILE, "careless": careless}):
        await add_node(client, "n1", cpu="1")
        await client.create(PODS, a_pod("big", cpu="2", schedulerName="careless"), "default", into=bytes)
        await pod_when(client, "big", is_bound)
        await client.create(PODS, a_pod("small", cpu="500m"), "default", into=bytes)
        told = await pod_when(client, "small", lambda pod: bool(pod["status"].get("conditions")))
        assert told["status"]["conditions"][0]["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        await wait_objects(
            client,
            CORE_EVENTS,
            lambda events: (
                {(event["reason"], event["source"]["component"]) for event in events.values()}
                >= {("Scheduled", "careless"), ("FailedScheduling", NAME)}
            ),
        )


class Turnstile:
    """Holds and permits as it is told, and remembers what it was asked."""

    name = "Turnstile"

    def __init__(self) -> None:
        self.has_any = True
        self.held: set[str] = set()
        self.answers: asyncio.Queue[bool] = asyncio.Queue()

    def reserve(self, pod: PodRequest, node: str) -> bool:
        if self.has_any:
            self.held.add(pod.uid)
        return self.has_any

    def give_back(self, pod: PodRequest, node: str) -> None:
        self.held.discard(pod.uid)

    async def permit(self, pod: PodRequest, node: str) -> bool:
        return pod.demand.namespace != "default" or await self.answers.get()


async def test_a_pod_waits_for_its_permit_while_others_are_bound_and_gives_back_its_room_where_it_gets_none(
    api_server: RunningServer, client: Client
) -> None:
    turnstile = Turnstile()
    profile = replace(DEFAULT_PROFILE, reservers=(turnstile,), permits=(turnstile,))
    async with api_server.client("scheduler") as own, running(own, {NAME: profile, "other": DEFAULT_PROFILE}):
        await add_node(client, "n1", cpu="2")
        await client.create(PODS, a_pod("waits", cpu="1"), "default", into=bytes)
        await client.create(PODS, a_pod("goes", cpu="1", schedulerName="other"), "default", into=bytes)
        await pod_when(client, "goes", is_bound)
        assert not is_bound(await client.get(PODS, "waits", "default", into=dict))
        await client.create(PODS, a_pod("third", cpu="1", schedulerName="other"), "default", into=bytes)
        told = await pod_when(client, "third", lambda pod: bool(pod["status"].get("conditions")))
        assert not is_bound(told), "the room of a pod that waits for its permit is taken"
        turnstile.answers.put_nowait(False)
        await pod_when(client, "third", is_bound)
        assert not turnstile.held
        await client.delete(PODS, "third", "default", grace_s=0)
        turnstile.answers.put_nowait(True)
        await pod_when(client, "waits", is_bound)
        assert len(turnstile.held) == 1


async def test_a_pod_for_which_nothing_can_be_reserved_takes_no_room_and_is_tried_again(
    api_server: RunningServer, client: Client
) -> None:
    turnstile = Turnstile()
    turnstile.has_any = False
    profile = replace(DEFAULT_PROFILE, reservers=(turnstile,))
    async with api_server.client("scheduler") as own, running(own, {NAME: profile, "other": DEFAULT_PROFILE}):
        await add_node(client, "n1", cpu="2")
        await client.create(PODS, a_pod("p", cpu="1"), "default", into=bytes)
        await pod_when(client, "p", lambda pod: bool(pod["status"].get("conditions")))
        await client.create(PODS, a_pod("other", cpu="2", schedulerName="other"), "default", into=bytes)
        await pod_when(client, "other", is_bound)
        await client.delete(PODS, "other", "default", grace_s=0)
        turnstile.has_any = True
        await pod_when(client, "p", is_bound)


class JamsOnce(Turnstile):
    """Fails at the first reservation in a way that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.has_jammed = False

    def reserve(self, pod: PodRequest, node: str) -> bool:
        if not self.has_jammed:
            self.has_jammed = True
            raise ZeroDivisionError
        return super().reserve(pod, node)


async def test_a_pod_whose_reservation_fails_unforeseen_is_bound_only_once_it_is_reserved(
    api_server: RunningServer, client: Client
) -> None:
    turnstile = JamsOnce()
    profile = replace(DEFAULT_PROFILE, reservers=(turnstile,))
    async with api_server.client("scheduler") as own, running(own, {NAME: profile}):
        await add_node(client, "n1")
        made = await client.create(PODS, a_pod("p"), "default", into=dict)
        await pod_when(client, "p", is_bound)
        assert turnstile.held == {made["metadata"]["uid"]}


class CannotJudge(Fits):
    """Fails when it is asked whether a change may help a pod of these, as only a fault of our own would."""

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        if "example.org/choke" in pod.demand.amounts:
            raise ZeroDivisionError
        return super().may_help(pod, happened, nodes)


async def test_a_waiting_pod_that_no_change_can_be_judged_for_keeps_no_other_from_being_woken_or_counted(
    api_server: RunningServer, client: Client
) -> None:
    profile = replace(DEFAULT_PROFILE, filters=(CannotJudge(),))
    async with api_server.client("scheduler") as own, running(own, {NAME: profile}):
        await add_node(client, "n1", cpu="2")
        choking = a_pod("choking", cpu="1")
        resources = {"requests": {"example.org/choke": "1"}, "limits": {"example.org/choke": "1"}}
        choking["spec"]["containers"][0]["resources"] = resources
        await client.create(PODS, choking, "default", into=bytes)
        await client.create(PODS, a_pod("first", cpu="2"), "default", into=bytes)
        await pod_when(client, "first", is_bound)
        await client.create(PODS, a_pod("second", cpu="2"), "default", into=bytes)
        for name in ("choking", "second"):
            await pod_when(client, name, lambda pod: bool(pod["status"].get("conditions")))
        await client.delete(PODS, "first", "default", grace_s=0)
        await pod_when(client, "second", is_bound)


async def test_a_scheduler_that_takes_over_counts_what_the_one_before_it_bound(
    api_server: RunningServer, client: Client
) -> None:
    nodes, fit = ("n1", "n2", "n3"), 6
    for name in nodes:
        await add_node(client, name, cpu="2")

    def bound(pods: dict[str, dict[str, Any]]) -> int:
        return sum(map(is_bound, pods.values()))

    for number in range(fit + 3):
        await client.create(PODS, a_pod(f"p{number}", cpu="1"), "default", into=bytes)
    async with api_server.client("scheduler") as own, running(own):
        # Stopped as soon as the first is bound, with others under way.
        await wait_objects(client, PODS, lambda pods: bound(pods) > 0)
    async with api_server.client("scheduler") as own, running(own):
        await client.create(PODS, a_pod("last", cpu="1"), "default", into=bytes)
        pods = await wait_objects(
            client,
            PODS,
            lambda pods: (
                bound(pods) == fit
                and all(is_bound(pod) or bool(pod["status"].get("conditions")) for pod in pods.values())
            ),
        )
    homes = [pod["spec"].get("nodeName") for pod in pods.values()]
    assert [homes.count(name) for name in nodes] == [2, 2, 2]


@pytest.mark.usefixtures("scheduling")
async def test_pods_that_insist_on_what_nothing_implements_stay_pending_and_say_so(client: Client) -> None:
    await add_node(client, "n1")
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    await client.create(PODS, a_pod("apart", affinity=affinity), "default", into=bytes)
    told = await pod_when(client, "apart", lambda pod: bool(pod["status"].get("conditions")))
    (condition,) = told["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert condition["message"] == (
        "0/1 nodes are available: spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution is not "
        "implemented."
    )


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
