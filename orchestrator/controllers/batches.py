"""Writes side by side: all are tried, the first refusal is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from orchestrator.machinery.errors import ApiError, RetryLater, Unreachable

#: Writes of one sync in flight at once.
BATCH_MAX = 32


async def all_of(name: str, writes: Sequence[Awaitable[None]]) -> None:
    """Wait for all the writes, at most `BATCH_MAX` of them, then raise the first error, if any."""
    assert len(writes) <= BATCH_MAX, "cut larger numbers into batches"
    errors: list[Exception] = []

    async def one(write: Awaitable[None]) -> None:
        try:
            await write
        except (ApiError, Unreachable, RetryLater) as error:
            errors.append(error)

    async with asyncio.TaskGroup() as group:
        for write in writes:
            group.create_task(one(write), name=name)
    if errors:
        raise errors[0]
