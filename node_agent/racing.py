"""Waiting for whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*named: tuple[str, Coroutine[Any, Any, object]]) -> frozenset[str]:
    """Run all until one ends, cancel the others and wait for them; returns the names of those that ended by themselves.

    What one raises is raised, in a group.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work, name=name) for name, work in named]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = frozenset(task.get_name() for task in tasks if task.done())
        for task in tasks:
            task.cancel()
    return ended
