"""Pods that wait for a node: in order of priority, with back-off for those that did not fit. Time is passed in."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.machinery.backoff import Backoff

# Kubernetes' podInitialBackoffSeconds and podMaxBackoffSeconds.
_BACKOFF = Backoff(first_s=1.0, limit_s=10.0)
# A pod that did not fit is looked at again after this long, whatever was missed (podMaxInUnschedulablePodsDuration).
_RETRY_AFTER_S = 300.0
# A heap is made anew once it holds this many times more entries than pods: what was removed is only skipped.
_STALE_FACTOR = 2
_STALE_MIN = 64


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
class _Waiting:
    """A pod that did not fit: not before `not_before_s`, and with nothing to wake it, not before its `due`."""

    priority: int
    not_before_s: float
    due: _Due


class PendingPods:
    """Keys of pods to place. One entry a key, so the number of pods bounds it."""

    def __init__(self) -> None:
        self._active: list[_Queued] = []
        self._queued: dict[str, _Queued] = {}
        self._backing_off: list[_Due] = []
        self._waiting: dict[str, _Waiting] = {}
        self._asleep: dict[str, _Waiting] = {}
        self._attempts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._queued) + len(self._waiting)

    def __contains__(self, key: str) -> bool:
        return key in self._queued or key in self._waiting

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

    def refused(self, key: str, *, uid: str, priority: int, now_s: float) -> None:
        """The pod did not fit: wait for a change of the cluster, and at least for the back-off."""
        self._wait(key, uid, priority, now_s)

    def failed(self, key: str, *, uid: str, priority: int, now_s: float) -> None:
        """Trying the pod went wrong, which no change of the cluster mends: try again after the back-off."""
        self._wait(key, uid, priority, now_s)
        self._wake(self._asleep.pop(key))

    def _wait(self, key: str, uid: str, priority: int, now_s: float) -> None:
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        due = _Due(now_s + _RETRY_AFTER_S, uid, key)
        waiting = _Waiting(priority, now_s + _BACKOFF.delay_s(attempts), due)
        self._waiting[key] = self._asleep[key] = waiting
        self._back_off(due)

    def wake(self) -> None:
        """The cluster changed in a way that may make room: those that wait may try again after their back-off."""
        for waiting in self._asleep.values():
            self._wake(waiting)
        self._asleep.clear()

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

    def _wake(self, waiting: _Waiting) -> None:
        waiting.due = _Due(waiting.not_before_s, waiting.due.uid, waiting.due.key)
        self._back_off(waiting.due)

    def _is_due(self, due: _Due) -> bool:
        waiting = self._waiting.get(due.key)
        return waiting is not None and waiting.due is due

    def _forget_refusal(self, key: str) -> None:
        self._waiting.pop(key, None)
        self._asleep.pop(key, None)

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
