"""Starting and ending a process: one task group, ended by SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import uvloop

from orchestrator.machinery.libc import libc

T = TypeVar("T")


def run_until_signalled(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `main` on uvloop until it returns or the process gets SIGTERM or SIGINT, which cancels it.

    SIGHUP, which a closed terminal sends and which asks other daemons to read their settings anew, ends nothing.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    uvloop.run(_cancel_on_signal(main))


async def _cancel_on_signal(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    work = loop.create_task(main(), name="main")
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True
        work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if not stopping:
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def within(limit_s: float, work: Awaitable[T]) -> T:
    """What `work` gives; raises `TimeoutError` when it takes longer. As `asyncio.timeout`, at two thirds of its cost.

    For what is awaited for every request. The current task is cancelled and, if nobody else cancelled it, goes on.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelling, is_over = task.cancelling(), False

    def end() -> None:
        nonlocal is_over
        is_over = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(limit_s, end)
    try:
        return await work
    except asyncio.CancelledError:
        if is_over and task.uncancel() <= cancelling:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def settle_memory() -> None:
    """Move what start-up built out of the garbage collector's sight: full collections stall a process."""
    gc.collect()
    gc.freeze()


def give_memory_back() -> None:
    """Return to the machine what the C library keeps of memory that is free; takes milliseconds, so not on the loop."""
    with suppress(AttributeError):  # another C library keeps less
        libc.malloc_trim(0)


async def run_together(*named: tuple[str, Callable[[], Awaitable[None]]]) -> None:
    """Run several endless parts in one task group; the failure of one ends all."""

    async def one(part: Callable[[], Awaitable[None]]) -> None:
        await part()

    async with asyncio.TaskGroup() as group:
        for name, part in named:
            group.create_task(one(part), name=name)
