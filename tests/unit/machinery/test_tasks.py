"""A time limit that costs little: it ends what takes too long, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.machinery.tasks import within

pytestmark = pytest.mark.looptime


async def _answer_after(delay_s: float) -> str:
    await asyncio.sleep(delay_s)
    return "answer"


async def test_what_is_there_in_time_is_given() -> None:
    assert await within(2.0, _answer_after(1.0)) == "answer"


async def test_what_takes_longer_is_ended_and_its_task_goes_on() -> None:
    with pytest.raises(TimeoutError):
        await within(1.0, _answer_after(2.0))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await _answer_after(5.0) == "answer"


async def test_whoever_else_cancels_is_obeyed_also_at_the_same_moment() -> None:
    async def work() -> None:
        await within(1.0, _answer_after(10.0))

    for cancelled_at_s in (0.5, 1.0):
        task = asyncio.create_task(work(), name="work")
        asyncio.get_running_loop().call_later(cancelled_at_s, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_failure_is_the_works_own() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(1.0, fail())
