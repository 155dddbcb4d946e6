"""A clock on the running loop's time: with `looptime`, virtual seconds pass at once and exactly."""

from __future__ import annotations

import asyncio


class LoopClock:
    """Wall and monotonic time both are the loop's own."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class ManualClock:
    """Time that moves only when told to."""

    def __init__(self, start_s: float = 1_700_000_000.0) -> None:
        self.time_s = start_s

    def now(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return self.time_s
