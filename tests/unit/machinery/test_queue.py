"""The work queue: each key once, never two at once, delays that shorten only."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.machinery.queue import WorkQueue

pytestmark = pytest.mark.looptime


async def test_a_key_added_twice_is_processed_once() -> None:
    queue = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_it_is_processed_comes_back_afterwards() -> None:
    queue = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "b"
    queue.done("a")
    assert await queue.get() == "a"


async def test_waiting_ends_when_a_key_arrives() -> None:
    queue = WorkQueue()
    asyncio.get_running_loop().call_later(3, queue.add, "a")
    assert await queue.get() == "a"
    assert asyncio.get_running_loop().time() == 3


async def test_of_several_delays_the_shortest_counts() -> None:
    queue = WorkQueue()
    queue.add_after("a", 5)
    queue.add_after("a", 2)
    queue.add_after("a", 9)
    await queue.get()
    assert asyncio.get_running_loop().time() == 2
    queue.done("a")
    await asyncio.sleep(20)
    assert len(queue) == 0


async def test_a_closed_queue_leaves_no_timer() -> None:
    queue = WorkQueue()
    queue.add_after("a", 5)
    queue.close()
    await asyncio.sleep(10)
    assert len(queue) == 0
