"""Blocking calls: results and errors come back, and a cancelled caller still waits for its thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from orchestrator.machinery.blocking import BlockingCalls


async def test_results_and_errors_come_back() -> None:
    calls = BlockingCalls("test", threads=1)
    try:
        assert await calls.call(int, "7") == 7
        with pytest.raises(ValueError, match="invalid literal"):
            await calls.call(int, "x")
    finally:
        calls.close()


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    calls = BlockingCalls("test", threads=1)
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        release.wait(10)
        ended.set()

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(calls.call(slow), name="caller")
        await asyncio.to_thread(started.wait, 10)
        caller.cancel()
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert ended.is_set()
    assert caller.cancelled()
    calls.close()
