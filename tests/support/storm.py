"""A writer to be killed: puts as fast as it can and prints every key once its write was acknowledged."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from orchestrator.machinery import log
from orchestrator.machinery.clock import SystemClock
from orchestrator.store.sqlite import open_sqlite


async def storm(path: Path) -> None:
    store = await open_sqlite(path, clock=SystemClock())

    async def one(writer: int) -> None:
        for number in range(1_000_000):
            key = f"/storm/{writer}/{number}"
            revision = await store.put(key, f"value of {key}".encode(), expect_revision=0)
            sys.stdout.write(f"{key} {revision}\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for writer in range(16):
            group.create_task(one(writer), name=f"writer-{writer}")


if __name__ == "__main__":
    log.configure()
    asyncio.run(storm(Path(sys.argv[1])))
