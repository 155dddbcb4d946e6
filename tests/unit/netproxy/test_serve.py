"""The process as a whole, as far as it can be seen without one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import pytest

from netproxy.config import Config
from netproxy.serve import RETRY_S, Proxy
from orchestrator.machinery.clock import SystemClock


class NoRoutes:
    async def follow(self, wanted: Iterable[str], *, again: bool = False) -> None:
        pass


@pytest.mark.looptime
async def test_a_part_that_fails_begins_anew_and_takes_nothing_else_down():
    proxy = Proxy(Config(node_name="n1", node_ip="192.0.2.1", workers=1), SystemClock(), NoRoutes())
    begun: list[float] = []

    async def part() -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) < 3:
            raise ValueError("a watch event that nobody can read")
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(proxy._keep_running("watch", part))
    await asyncio.sleep(10 * RETRY_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert begun == [0, RETRY_S, 2 * RETRY_S]
