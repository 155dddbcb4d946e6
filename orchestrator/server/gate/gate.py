"""The gate: a request is given a seat, waits for one in a bounded queue, or is told to come again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from orchestrator.machinery.errors import TooManyRequests
from orchestrator.server import metrics
from orchestrator.server.gate.levels import EXEMPT, LEVELS, SEATS_USUAL, STREAMS, Level
from orchestrator.server.gate.seats import Seats

_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """How much is answered, and waits, at once."""

    seats: int = SEATS_USUAL
    """Requests being answered; Kubernetes' 400 reads and 200 writes. What is exempt does not count."""
    wait_s: float = 15.0
    """How long a request waits for a seat: a quarter of a request's time, as in Kubernetes."""
    waiting_of_flow: int = 50
    """Requests of one identity that wait at once. Kubernetes' queues are as long."""
    waiting: int = 400
    """Requests of one level that wait at once: each holds its body and a connection."""


class Seat:
    """A place among those that are answered. Give it back once, or as often as you like."""

    __slots__ = ("_flow", "_gate", "_level")

    def __init__(self, gate: Gate | None, level: Level, flow: str) -> None:
        self._gate = gate
        self._level = level
        self._flow = flow

    def give_back(self) -> None:
        """Let others have it."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(self._level, self._flow)


#: The seat of those that need none.
NO_SEAT = Seat(None, EXEMPT, "")


class _Waiting:
    """Who waits at one level: a queue for each identity."""

    __slots__ = ("count", "flows")

    def __init__(self) -> None:
        self.flows: dict[str, deque[asyncio.Future[None]]] = {}
        self.count = 0

    def add(self, flow: str, future: asyncio.Future[None]) -> None:
        self.flows.setdefault(flow, deque()).append(future)
        self.count += 1

    def remove(self, flow: str, future: asyncio.Future[None]) -> None:
        queue = self.flows.get(flow, deque())
        if future not in queue:
            return  # it was its turn when it had gone already
        queue.remove(future)
        self.count -= 1
        if not queue:
            del self.flows[flow]

    def first(self, flow: str) -> asyncio.Future[None]:
        queue = self.flows[flow]
        future = queue.popleft()
        self.count -= 1
        if not queue:
            del self.flows[flow]
        return future


class Gate:
    """Gives out seats. Identities that wait are served by how few seats they have, so that none waits for another."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._seats = Seats(LEVELS, limits.seats)
        self._waiting = {level: _Waiting() for level in LEVELS}
        for level in LEVELS:
            metrics.SEATS.labels(level.name).set_function(partial(self._seats.of_level, level))
            metrics.WAITING.labels(level.name).set_function(partial(self._count_waiting, level))

    def _count_waiting(self, level: Level) -> int:
        return self._waiting[level].count

    async def enter(self, level: Level, flow: str) -> Seat:
        """A seat, at once or within the time to wait. Raises `TooManyRequests`."""
        if level.is_exempt:
            return NO_SEAT
        waiting = self._waiting[level]
        if flow not in waiting.flows and self._seats.is_free(level, flow):
            self._seats.take(level, flow)
            return Seat(self, level, flow)
        await self._wait(level, flow, waiting)
        return Seat(self, level, flow)

    async def _wait(self, level: Level, flow: str, waiting: _Waiting) -> None:
        own = waiting.flows.get(flow, ())
        if waiting.count >= self._limits.waiting or len(own) >= self._limits.waiting_of_flow:
            raise _refused(level, "queue-full")
        seated: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.add(flow, seated)
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await seated
        except BaseException as exc:
            if seated.done() and not seated.cancelled():
                self.leave(level, flow)  # a seat came at the very moment at which nobody waits for it any more
            else:
                waiting.remove(flow, seated)
            if isinstance(exc, TimeoutError):
                raise _refused(level, "time-out") from exc
            raise

    def leave(self, level: Level, flow: str) -> None:
        """A seat is free: whoever waits at the most important level is next."""
        self._seats.give_back(level, flow)
        for other, waiting in self._waiting.items():
            while waiting.count and not self._seats.is_full(other):
                # The queue is bounded, so this is, too; who came first is first among equals.
                chosen = min(waiting.flows, key=partial(self._seats.of_flow, other))
                if not self._seats.is_free(other, chosen):
                    break
                seated = waiting.first(chosen)
                if not seated.done():  # or it goes just now, and has not had the loop yet to say so
                    self._seats.take(other, chosen)
                    seated.set_result(None)
                    return


class Streams:
    """Seats for what is answered for as long as a client likes: no queue, and half of them for one identity at most.

    Masters need none: who looks for what is wrong with a crowd must not be kept out by it.
    """

    def __init__(self, most: int) -> None:
        self._seats = Seats((STREAMS,), most)
        metrics.SEATS.labels(STREAMS.name).set_function(partial(self._seats.of_level, STREAMS))

    @contextmanager
    def seated(self, level: Level, flow: str) -> Iterator[None]:
        """Hold a seat until the block ends; `level` is the request's own. Raises `TooManyRequests`."""
        if level.is_exempt:
            yield
            return
        if not self._seats.is_free(STREAMS, flow):
            raise _refused(STREAMS, "full")
        self._seats.take(STREAMS, flow)
        try:
            yield
        finally:
            self._seats.give_back(STREAMS, flow)


def _refused(level: Level, why: str) -> TooManyRequests:
    metrics.REJECTED.labels(level.name, why).inc()
    return TooManyRequests("Too many requests, please try again later.", retry_after_s=_RETRY_AFTER_S)
