"""Pods that wait for a node: in order of priority, with back-off for those that did not fit. Time is passed in."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from orchestrator.machinery.backoff import Backoff

# Kubernetes' podInitialBackoffSeconds and podMaxBackoffSeconds.
_BACKOFF = Backoff(first_s=1.0, limit_s=10.0)
# A pod that did not fit is looked at again after this long, whatever was missed (podMaxInUnschedulablePodsDuration).
_RETRY_AFTER_S = 300.0


@dataclass(order=True, slots=True)
class _Entry:
    """A place in the queue: higher priority first, then whoever has waited longest."""

    rank: tuple[int, int]
    key: str = field(compare=False)


@dataclass(slots=True)
class _Waiting:
    """A pod that did not fit: tried `attempts` times, not before `not_before_s`, in any case at `retry_at_s`."""

    priority: int
    attempts: int
    not_before_s: float
    retry_at_s: float
    woken: bool = False


class PendingPods:
    """Keys of pods to place. One entry a key, so the number of pods bounds it."""

    def __init__(self) -> None:
        self._active: list[_Entry] = []
        self._queued: dict[str, int] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._attempts: dict[str, int] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._queued) + len(self._waiting)

    def __contains__(self, key: str) -> bool:
        return key in self._queued or key in self._waiting

    @property
    def unschedulable_count(self) -> int:
        """How many wait because they did not fit."""
        return len(self._waiting)

    def add(self, key: str, *, priority: int = 0) -> None:
        """A pod to place now; what was known of an earlier attempt no longer holds it back."""
        self._waiting.pop(key, None)
        if key not in self._queued:
            self._push(key, priority)

    def remove(self, key: str) -> None:
        """The pod is placed, or gone."""
        self._queued.pop(key, None)  # its heap entry is skipped when it surfaces
        self._waiting.pop(key, None)
        self._attempts.pop(key, None)

    def refused(self, key: str, *, priority: int, now_s: float) -> None:
        """The pod did not fit: wait for a change of the cluster, and at least for the back-off."""
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        self._waiting[key] = _Waiting(priority, attempts, now_s + _BACKOFF.delay_s(attempts), now_s + _RETRY_AFTER_S)

    def wake(self) -> None:
        """The cluster changed in a way that may make room: those that wait may try again after their back-off."""
        for waiting in self._waiting.values():
            waiting.woken = True

    def pop(self, *, now_s: float) -> str | None:
        """The next pod to try, or None if none may be tried yet."""
        self._release(now_s)
        while self._active:
            entry = heapq.heappop(self._active)
            if self._queued.get(entry.key) == entry.rank[1]:
                del self._queued[entry.key]
                return entry.key
        return None

    def next_at_s(self) -> float | None:
        """When the next waiting pod may be tried; None if that takes a change."""
        due = [w.not_before_s if w.woken else w.retry_at_s for w in self._waiting.values()]
        return min(due, default=None)

    def _release(self, now_s: float) -> None:
        due = [
            key
            for key, waiting in self._waiting.items()
            if now_s >= (waiting.not_before_s if waiting.woken else waiting.retry_at_s)
        ]
        for key in due:
            self._push(key, self._waiting.pop(key).priority)

    def _push(self, key: str, priority: int) -> None:
        self._arrivals += 1
        self._queued[key] = self._arrivals
        heapq.heappush(self._active, _Entry((-priority, self._arrivals), key))
