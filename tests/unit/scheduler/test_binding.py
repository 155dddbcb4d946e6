"""Binding: what the API server's answer, or the lack of it, means for what was reserved."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from msgspec.structs import replace

from orchestrator.api.views.scheduling import PodView
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import Conflict, NotFound, Unreachable
from orchestrator.scheduler.binding import BindingPipeline, Reserved
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from tests.support.scheduling import a_pod, request_of

POD = a_pod("p")


def bound_to(node: str, pod: PodView = POD) -> PodView:
    return replace(pod, spec=replace(pod.spec, node_name=node))


class Answers:
    """A client that answers a binding, and a look at the pod after it."""

    def __init__(self, binding: Exception | None, pod: PodView | Exception | None) -> None:
        self.binding, self.pod, self.looks = binding, pod, 0

    async def create(self, *_: Any, **__: Any) -> bytes:
        if self.binding is not None:
            raise self.binding
        return b""

    async def get(self, *_: Any, **__: Any) -> PodView:
        self.looks += 1
        if isinstance(self.pod, Exception):
            raise self.pod
        assert self.pod is not None
        return self.pod


LOST = Unreachable("no answer")


@pytest.mark.parametrize(
    ("binding", "pod", "is_bound", "looks"),
    [
        pytest.param(None, None, True, 0, id="bound"),
        pytest.param(Conflict("already assigned"), None, False, 0, id="refused"),
        pytest.param(ZeroDivisionError(), None, False, 0, id="unforeseen"),
        pytest.param(LOST, bound_to("n1"), True, 1, id="bound-though-the-reply-was-lost"),
        pytest.param(LOST, POD, False, 1, id="the-request-was-lost"),
        pytest.param(LOST, bound_to("n2"), False, 1, id="bound-by-somebody-else"),
        pytest.param(LOST, bound_to("n1", replace(POD, metadata=a_pod("q").metadata)), False, 1, id="a-namesake"),
        pytest.param(LOST, NotFound("gone"), False, 1, id="gone"),
        pytest.param(LOST, Unreachable("still away"), False, 1, id="nobody-to-ask"),
    ],
)
async def test_what_an_answer_means(
    binding: Exception | None, pod: PodView | Exception | None, is_bound: bool, looks: int
) -> None:
    answers, told = Answers(binding, pod), []
    async with asyncio.TaskGroup() as group:
        pipeline = BindingPipeline(
            cast("Client", answers), group, lambda reserved, bound: told.append((reserved.node, bound))
        )
        await pipeline.start(Reserved(POD, request_of(POD), "n1", DEFAULT_PROFILE))
    assert told == [("n1", is_bound)]
    assert answers.looks == looks


async def test_whoever_fails_at_what_an_answer_means_ends_no_other_binding() -> None:
    told: list[str] = []

    def settled(reserved: Reserved, is_bound: bool) -> None:
        told.append(reserved.node)
        if reserved.node == "n1":
            raise ZeroDivisionError

    async with asyncio.TaskGroup() as group:
        pipeline = BindingPipeline(cast("Client", Answers(None, None)), group, settled)
        for node in ("n1", "n2"):
            await pipeline.start(Reserved(POD, request_of(POD), node, DEFAULT_PROFILE))
    assert told == ["n1", "n2"]


async def test_a_cancelled_binding_tells_nothing_and_lets_go() -> None:
    told: list[bool] = []

    class NeverAnswers(Answers):
        async def create(self, *_: Any, **__: Any) -> bytes:
            await asyncio.get_running_loop().create_future()
            return b""

    async def bind() -> None:
        async with asyncio.TaskGroup() as group:
            client = cast("Client", NeverAnswers(None, None))
            pipeline = BindingPipeline(client, group, lambda _, bound: told.append(bound))
            await pipeline.start(Reserved(POD, request_of(POD), "n1", DEFAULT_PROFILE))

    task = asyncio.ensure_future(bind())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == []
