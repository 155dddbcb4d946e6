"""What a refused pod is told: the newest reason, once, and never after it was bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from msgspec.structs import replace

from orchestrator.api.views.meta import Condition, ObjectReference
from orchestrator.api.views.scheduling import PodStatus, PodView
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import Conflict, Unreachable
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.scheduler.conditions import ConditionWriter
from tests.support.scheduling import a_pod


class Cluster:
    """Pods by key, a client that patches them while `open` and fails as `fails` says, and the events recorded."""

    def __init__(self, *pods: PodView) -> None:
        self.pods = {pod.metadata.key: pod for pod in pods}
        self.open = asyncio.Event()
        self.open.set()
        self.fails: list[Exception] = []
        self.written: list[tuple[str, str, str]] = []
        self.events: list[str] = []
        self._asked = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return as soon as that holds; it is looked at after each answer."""
        while not holds():
            self._asked.clear()
            await self._asked.wait()

    async def patch(self, resource: object, name: str, body: Any, namespace: str, **_: Any) -> bytes:
        await self.open.wait()
        self._asked.set()
        if self.fails:
            raise self.fails.pop(0)
        (condition,) = body["status"]["conditions"]
        self.written.append((name, body["metadata"]["resourceVersion"], condition["message"]))
        return b""

    def event(self, regarding: ObjectReference, *, type: str, reason: str, message: str) -> None:
        self.events.append(message)


@asynccontextmanager
async def writing(cluster: Cluster) -> AsyncIterator[ConditionWriter]:
    recorders = {"default-scheduler": cast("EventRecorder", cluster)}
    writer = ConditionWriter(cast("Client", cluster), SystemClock(), recorders, cluster.pods.get)
    task = asyncio.ensure_future(writer.run())
    yield writer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def at(pod: PodView, revision: int, *, node: str = "", told: str = "") -> PodView:
    conditions = (Condition(type="PodScheduled", status="False", message=told),) if told else ()
    return replace(
        pod,
        metadata=replace(pod.metadata, resource_version=str(revision)),
        spec=replace(pod.spec, node_name=node),
        status=PodStatus(conditions=conditions),
    )


async def test_only_the_newest_reason_is_written() -> None:
    pods = [at(a_pod(f"p{number}"), 1) for number in range(6)]
    cluster = Cluster(*pods)
    cluster.open.clear()
    async with writing(cluster) as writer:
        for message in ("first", "second", "third"):
            for pod in pods:
                writer.refused(pod, reason="Unschedulable", message=message)
            await asyncio.sleep(0)
        cluster.open.set()
        await cluster.until(lambda: sum(text == "third" for _, _, text in cluster.written) == len(pods))
    # Four were being written when the second came; the others waited, and were told the last one alone.
    assert [text for name, _, text in cluster.written if name == "p5"] == ["third"]


async def test_a_pod_that_was_bound_while_its_refusal_waited_is_not_told() -> None:
    pod = at(a_pod("p"), 1)
    cluster = Cluster(pod, at(a_pod("q"), 1))
    async with writing(cluster) as writer:
        writer.refused(pod, reason="Unschedulable", message="no room")
        cluster.pods["default/p"] = at(pod, 2, node="n1")
        writer.refused(cluster.pods["default/q"], reason="Unschedulable", message="no room")
        await cluster.until(lambda: bool(cluster.written))
    assert cluster.written == [("q", "1", "no room")]


async def test_a_refusal_is_written_onto_the_version_it_is_about_and_again_onto_a_newer_one() -> None:
    pod = at(a_pod("p"), 1)
    cluster = Cluster(pod)
    cluster.fails.append(Conflict("the object has been modified"))
    async with writing(cluster) as writer:
        writer.refused(pod, reason="Unschedulable", message="no room")
        await cluster.until(lambda: not cluster.fails)
        cluster.pods["default/p"] = at(pod, 2)
        await cluster.until(lambda: bool(cluster.written))
    assert cluster.written == [("p", "2", "no room")]


async def test_what_the_pod_says_already_is_not_written_again() -> None:
    pod = at(a_pod("p"), 1, told="no room")
    cluster = Cluster(pod, at(a_pod("q"), 1))
    async with writing(cluster) as writer:
        writer.refused(pod, reason="Unschedulable", message="no room")
        writer.refused(cluster.pods["default/q"], reason="Unschedulable", message="no room")
        await cluster.until(lambda: bool(cluster.written))
    assert cluster.written == [("q", "1", "no room")]
    assert cluster.events == ["no room"]


@pytest.mark.parametrize("failure", [Unreachable("gone"), ZeroDivisionError()], ids=["refused", "unforeseen"])
async def test_a_pod_that_cannot_be_told_keeps_no_other_from_being_told(failure: Exception) -> None:
    cluster = Cluster(*(at(a_pod(name), 1) for name in "pq"))
    cluster.fails.append(failure)
    async with writing(cluster) as writer:
        for pod in tuple(cluster.pods.values()):
            writer.refused(pod, reason="Unschedulable", message="no room")
        await cluster.until(lambda: bool(cluster.written))
    assert [name for name, _, _ in cluster.written] == ["q"]
