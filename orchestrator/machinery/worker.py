"""The one controller loop: it owns retries, back-off and metrics, so that a controller never does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from orchestrator.machinery.backoff import Backoff
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import ApiError, Conflict, RetryLater, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import OBJECT_FAILURES, QUEUE_DEPTH, SYNC_SECONDS, SYNCS
from orchestrator.machinery.queue import WorkQueue

logger = get_logger(__name__)

Sync = Callable[[str], Awaitable[None]]


async def work(
    name: str,
    queue: WorkQueue,
    sync: Sync,
    *,
    clock: Clock,
    concurrency: int = 1,
    backoff: Backoff = Backoff(first_s=0.05, limit_s=60.0),  # noqa: B008 - frozen, so sharing it is safe
) -> None:
    """Call `sync` for every key of the queue, for ever.

    A sync that raises is tried again after a growing delay; `RetryLater` is tried again after its own delay and is no
    failure; `Conflict` is normal and retried quickly. One key is never synced twice at once, whatever `concurrency`.
    """
    failures: dict[str, int] = {}
    depth, seconds = QUEUE_DEPTH.labels(name), SYNC_SECONDS.labels(name)
    results = {result: SYNCS.labels(name, result) for result in ("ok", "retry", "conflict", "error")}

    async def one_worker() -> None:
        while True:
            key = await queue.get()
            depth.set(len(queue))
            started = clock.monotonic()
            try:
                result = await _sync_once(name, key, queue, sync, failures, backoff)
            finally:
                queue.done(key)
            seconds.observe(clock.monotonic() - started)
            results[result].inc()

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(concurrency):
                group.create_task(one_worker(), name=f"{name}-{number}")
    finally:
        queue.close()


async def _sync_once(
    name: str, key: str, queue: WorkQueue, sync: Sync, failures: dict[str, int], backoff: Backoff
) -> str:
    try:
        await sync(key)
    except RetryLater as later:
        logger.debug("sync.later", controller=name, key=key, why=str(later))
        queue.add_after(key, later.delay_s)
        return "retry"
    except Conflict as conflict:
        logger.debug("sync.conflict", controller=name, key=key, why=str(conflict))
        result = "conflict"
    except (ApiError, Unreachable) as refused:
        logger.warning("sync.refused", controller=name, key=key, why=str(refused)[:256])
        result = "error"
    except Exception:
        logger.exception("sync.failed", controller=name, key=key)
        result = "error"
    else:
        failures.pop(key, None)
        return "ok"
    failures[key] = failures.get(key, 0) + 1
    queue.add_after(key, backoff.delay_s(failures[key]))
    return result


@contextmanager
def going_on(event: str, *, key: str) -> Iterator[None]:
    """For loops over objects that are not a controller's: what fails inside ends this object's turn, and nothing else.

    It is logged as `event` with its traceback, and counted; code after the block runs. Cancellation passes.
    """
    try:
        yield
    except Exception:
        OBJECT_FAILURES.labels(event).inc()
        logger.exception(event, key=key)
