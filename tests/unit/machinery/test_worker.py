"""The controller loop: retries, back-off, concurrency; exact, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.machinery.backoff import Backoff
from orchestrator.machinery.errors import Conflict, RetryLater, Unreachable
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work
from tests.support.time import LoopClock

pytestmark = pytest.mark.looptime

BACKOFF = Backoff(first_s=0.2, limit_s=1.0)


async def run_for(seconds: float, queue: WorkQueue, sync: Callable[[str], Awaitable[None]], **options: int) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await work("test", queue, sync, clock=LoopClock(), backoff=BACKOFF, **options)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("broken"), id="a-bug"),
        pytest.param(Conflict("written by somebody else"), id="a-conflict"),
        pytest.param(Unreachable("no answer"), id="no-answer"),
    ],
)
async def test_failing_key_backs_off(error: Exception) -> None:
    loop, queue, seen = asyncio.get_running_loop(), WorkQueue(), []

    async def sync(key: str) -> None:
        seen.append(round(loop.time(), 3))
        raise error

    queue.add("a")
    await run_for(4, queue, sync)
    assert seen == [0, 0.2, 0.6, 1.4, 2.4, 3.4]


async def test_success_ends_the_back_off() -> None:
    loop, queue, seen = asyncio.get_running_loop(), WorkQueue(), []

    async def sync(key: str) -> None:
        seen.append(round(loop.time(), 3))
        if len(seen) != 3:
            raise ValueError

    queue.add("a")
    loop.call_later(2, queue.add, "a")
    await run_for(2.5, queue, sync)
    assert seen == [0, 0.2, 0.6, 2, 2.2]


async def test_retry_later_keeps_its_own_delay() -> None:
    loop, queue, seen = asyncio.get_running_loop(), WorkQueue(), []

    async def sync(key: str) -> None:
        seen.append(round(loop.time(), 3))
        raise RetryLater("not in the cache yet", delay_s=0.3)

    queue.add("a")
    await run_for(1, queue, sync)
    assert seen == [0, 0.3, 0.6, 0.9]


async def test_one_key_is_never_synced_twice_at_once() -> None:
    queue, running, most = WorkQueue(), set(), 0

    async def sync(key: str) -> None:
        nonlocal most
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        queue.add(key)
        await asyncio.sleep(0.1)
        running.discard(key)

    for key in "abcde":
        queue.add(key)
    await run_for(3, queue, sync, concurrency=3)
    assert most == 3


async def test_cancelling_the_loop_cancels_the_sync_and_leaves_no_timer() -> None:
    queue, ended = WorkQueue(), []

    async def sync(key: str) -> None:
        queue.add_after("later", 50)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            ended.append(key)
            raise

    queue.add("a")
    await run_for(1, queue, sync)
    assert ended == ["a"]
    await asyncio.sleep(100)
    assert len(queue) == 0
