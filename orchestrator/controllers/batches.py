"""Writes to many objects: all are tried, side by side or in turn, and the first refusal is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from orchestrator.machinery.errors import ApiError, RetryLater, Unreachable

T = TypeVar("T")

#: Writes of one sync in flight at once.
BATCH_MAX = 32


async def all_of(name: str, writes: Sequence[Awaitable[T]]) -> list[T]:
    """Wait for all the writes, at most `BATCH_MAX` of them, then raise the first error, or give what they gave."""
    assert len(writes) <= BATCH_MAX, "cut larger numbers into batches"
    errors: list[Exception] = []

    given: list[T] = []

    async def one(write: Awaitable[T]) -> None:
        try:
            given.append(await write)
        except (ApiError, Unreachable, RetryLater) as error:
            errors.append(error)

    async with asyncio.TaskGroup() as group:
        for write in writes:
            group.create_task(one(write), name=name)
    if errors:
        raise errors[0]
    return given


class InTurn:
    """For a sync over many objects: what the API refuses for one keeps none of the others waiting.

    A server that is away is no refusal: that ends the sync as it would end the next write.
    """

    def __init__(self) -> None:
        self._first: ApiError | None = None

    @contextmanager
    def each(self) -> Iterator[None]:
        """Around what is done for one object."""
        try:
            yield
        except ApiError as refused:
            self._first = self._first or refused

    def end(self) -> None:
        """Raise the first refusal, if there was one."""
        if self._first is not None:
            raise self._first
