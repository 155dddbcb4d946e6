"""Who waits for a cache to have seen something: a revision, or that an object leaves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Protocol

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import INFORMER_FAILURES

logger = get_logger(__name__)

Wake = Callable[[], object]


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


class Seen:
    """The wakes of one cache, each called once. Whoever asks for one bounds them: one for each of its own writes.

    Pure but for the calls; a wake that raises is logged and counted, and the others are called.
    """

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._order = itertools.count()
        self._at: list[tuple[int, int, Wake]] = []  # a heap by revision; the number keeps the order and is unique
        self._leaving: dict[str, list[tuple[str, Wake]]] = {}

    def __len__(self) -> int:
        """How many wakes are still to come."""
        return len(self._at) + sum(len(waiting) for waiting in self._leaving.values())

    def wake_at(self, revision: int, wake: Wake, *, reached: int) -> None:
        """Have `wake` called at `revision`; the cache is at `reached`."""
        if reached >= revision:
            self._call(wake)
        else:
            heapq.heappush(self._at, (revision, next(self._order), wake))

    def wake_when_leaving(self, key: str, uid: str, wake: Wake, *, present: _HasMetadata | None) -> None:
        """Have `wake` called when the object leaves; `present` is what the cache has under its key."""
        if has_left(present, uid):
            self._call(wake)
        else:
            self._leaving.setdefault(key, []).append((uid, wake))

    def reached(self, revision: int) -> None:
        """The cache and its handlers have everything up to `revision`."""
        while self._at and self._at[0][0] <= revision:
            self._call(heapq.heappop(self._at)[2])

    def changed(self, key: str, present: _HasMetadata | None) -> None:
        """The cache has `present` under the key from here on, and its handlers know."""
        waiting = self._leaving.get(key)
        if waiting is None:
            return
        kept = [(uid, wake) for uid, wake in waiting if not has_left(present, uid)]
        if kept:
            self._leaving[key] = kept
        else:
            del self._leaving[key]
        for uid, wake in waiting:
            if has_left(present, uid):
                self._call(wake)

    def _call(self, wake: Wake) -> None:
        try:
            wake()
        except Exception:
            INFORMER_FAILURES.labels(self._resource, "wake").inc()
            logger.exception("informer.wake_failed", resource=self._resource)


def has_left(present: _HasMetadata | None, uid: str) -> bool:
    """Whether the object of that uid is terminating or gone, where the cache has `present` under its key."""
    return present is None or present.metadata.uid != uid or present.metadata.deletion_timestamp is not None
