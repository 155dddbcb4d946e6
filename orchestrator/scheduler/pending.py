"""Pods that wait for a node: in order of priority, with back-off for those that did not fit. Time is passed in."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.machinery.backoff import Backoff

# Kubernetes' podInitialBackoffSeconds and podMaxBackoffSeconds.
_BACKOFF = Backoff(first_s=1.0, limit_s=10.0)
# A pod that did not fit is looked at again after this long, whatever was missed (podMaxInUnschedulablePodsDuration).
_RETRY_AFTER_S = 300.0
# A heap is made anew once it holds this many times more entries than pods: what was removed is only skipped.
_STALE_FACTOR = 2
_STALE_MIN = 64


W = TypeVar("W", bound=Hashable)


@dataclass(order=True, frozen=True, slots=True)
class _Queued:
    """A place among those to be tried: higher priority first, then whoever has waited longest; the uid decides."""

    minus_priority: int
    since_s: float
    uid: str
    key: str


@dataclass(order=True, frozen=True, slots=True)
class _Due:
    """When a pod that did not fit may be tried again."""

    at_s: float
    uid: str
    key: str


@dataclass(slots=True)
class _Waiting(Generic[W]):
    """A pod that did not fit: not before `not_before_s`, and with nothing to wake it, not before its `due`."""

    priority: int
    not_before_s: float
    due: _Due
    waits_for: W | None


class PendingPods(Generic[W]):
    """Keys of pods to place. One entry a key, so the number of pods bounds it.

    What a refused pod waits for is a value of the caller's; pods with equal ones are woken together.
    """

    def __init__(self) -> None:
        self._active: list[_Queued] = []
        self._queued: dict[str, _Queued] = {}
        self._backing_off: list[_Due] = []
        self._waiting: dict[str, _Waiting[W]] = {}
        self._asleep: dict[W, dict[str, _Waiting[W]]] = {}
        self._attempts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._queued) + len(self._waiting)

    @property
    def unschedulable_count(self) -> int:
        """How many wait because they did not fit."""
        return len(self._waiting)

    def add(self, key: str, *, uid: str, now_s: float, priority: int = 0) -> None:
        """A pod to place now; what was known of an earlier attempt no longer holds it back."""
        self._forget_refusal(key)
        if key not in self._queued:
            self._push(_Queued(-priority, now_s, uid, key))

    def remove(self, key: str) -> None:
        """The pod is placed, or gone."""
        self._queued.pop(key, None)  # its heap entry is skipped when it surfaces
        self._forget_refusal(key)
        self._attempts.pop(key, None)

    def refused(self, key: str, waits_for: W, *, uid: str, priority: int, now_s: float) -> None:
        """The pod did not fit: wait until what it waits for may have happened, and at least for the back-off."""
        waiting = self._wait(key, uid, priority, now_s, waits_for)
        self._asleep.setdefault(waits_for, {})[key] = waiting

    def failed(self, key: str, *, uid: str, priority: int, now_s: float) -> None:
        """Trying the pod went wrong, which no change of the cluster mends: try again after the back-off."""
        self._wake(self._wait(key, uid, priority, now_s, None))

    def wake(self, is_over: Callable[[W], bool]) -> bool:
        """The cluster changed: those whose waiting may be over may try again after their back-off. Says whether any.

        It is asked once for all pods that wait for the same.
        """
        over = [waits_for for waits_for in self._asleep if is_over(waits_for)]
        for waits_for in over:
            for waiting in self._asleep.pop(waits_for).values():
                self._wake(waiting)
        return bool(over)

    def _wait(self, key: str, uid: str, priority: int, now_s: float, waits_for: W | None) -> _Waiting[W]:
        self._forget_refusal(key)
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        due = _Due(now_s + _RETRY_AFTER_S, uid, key)
        waiting = self._waiting[key] = _Waiting(priority, now_s + _BACKOFF.delay_s(attempts), due, waits_for)
        self._back_off(due)
        return waiting

    def pop(self, *, now_s: float) -> str | None:
        """The next pod to try, or None if none may be tried yet."""
        self._release(now_s)
        while self._active:
            entry = heapq.heappop(self._active)
            if self._queued.get(entry.key) is entry:
                del self._queued[entry.key]
                return entry.key
        return None

    def next_at_s(self) -> float | None:
        """When the next waiting pod may be tried; None if none waits."""
        while self._backing_off:
            due = self._backing_off[0]
            if self._is_due(due):
                return due.at_s
            heapq.heappop(self._backing_off)
        return None

    def _release(self, now_s: float) -> None:
        while self._backing_off and self._backing_off[0].at_s <= now_s:
            due = heapq.heappop(self._backing_off)
            if self._is_due(due):
                waiting = self._waiting[due.key]
                self._forget_refusal(due.key)
                self._push(_Queued(-waiting.priority, now_s, due.uid, due.key))

    def _wake(self, waiting: _Waiting[W]) -> None:
        waiting.due = _Due(waiting.not_before_s, waiting.due.uid, waiting.due.key)
        self._back_off(waiting.due)

    def _is_due(self, due: _Due) -> bool:
        waiting = self._waiting.get(due.key)
        return waiting is not None and waiting.due is due

    def _forget_refusal(self, key: str) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is None or waiting.waits_for is None:
            return
        together = self._asleep.get(waiting.waits_for)
        if together is not None and together.get(key) is waiting:
            del together[key]
            if not together:
                del self._asleep[waiting.waits_for]

    def _push(self, entry: _Queued) -> None:
        self._queued[entry.key] = entry
        heapq.heappush(self._active, entry)
        if _is_stale(self._active, self._queued):
            self._active = _heap_of(self._queued.values())

    def _back_off(self, due: _Due) -> None:
        heapq.heappush(self._backing_off, due)
        if _is_stale(self._backing_off, self._waiting):
            self._backing_off = _heap_of(waiting.due for waiting in self._waiting.values())


E = TypeVar("E", _Queued, _Due)


def _is_stale(heap: list[E], living: Mapping[str, object]) -> bool:
    return len(heap) > _STALE_MIN + _STALE_FACTOR * len(living)


def _heap_of(entries: Iterable[E]) -> list[E]:
    heap = list(entries)
    heapq.heapify(heap)
    return heap
