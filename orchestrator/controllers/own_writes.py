"""What a controller wrote and its caches have not shown yet, so that nothing is decided on an older state."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.machinery.errors import RetryLater

#: A key is woken by the change that shows its write. Only what no change shows waits for this: an object that came and
#: went between two lists, with nothing else having moved.
_LOOK_AGAIN_S = 2.0


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


class Cache(Protocol):
    """The part of an informer that this needs."""

    @property
    def revision(self) -> int: ...

    def get(self, key: str) -> _HasMetadata | None: ...

    def subscribe(self, handler: Callable[[Any, Any], None]) -> None: ...


class Queue(Protocol):
    """Where keys go that may be decided again."""

    def add(self, key: str) -> None: ...


class _Waiting:
    """The keys that wait for one cache: for a revision, or for an object to change."""

    def __init__(self) -> None:
        self._revisions: list[tuple[int, str]] = []  # a heap, each entry once
        self._entries: set[tuple[int, str]] = set()
        self._objects: dict[str, set[str]] = {}

    def for_revision(self, revision: int, key: str) -> None:
        if (revision, key) not in self._entries:
            self._entries.add((revision, key))
            heapq.heappush(self._revisions, (revision, key))

    def for_object(self, object_key: str, key: str) -> None:
        self._objects.setdefault(object_key, set()).add(key)

    def pop_reached(self, revision: int, object_key: str) -> Iterator[str]:
        """The keys that a change brings what they wait for; they wait no longer."""
        while self._revisions and self._revisions[0][0] <= revision:
            entry = heapq.heappop(self._revisions)
            self._entries.discard(entry)
            yield entry[1]
        yield from self._objects.pop(object_key, ())


class OwnWrites:
    """Per queue key: revisions that caches must reach, and objects that must be seen leaving.

    Bounded by the keys that exist: an entry is dropped as soon as it is seen, and `forget` drops a deleted key's.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._revisions: dict[str, dict[Cache, int]] = {}
        self._leaving: dict[str, dict[str, tuple[Cache, str]]] = {}
        self._waiting: dict[Cache, _Waiting] = {}

    def wrote(self, key: str, cache: Cache, meta: ObjectMeta) -> None:
        """A write for `key` was acknowledged, and `cache` will show it at the revision of `meta`."""
        entry = self._revisions.setdefault(key, {})
        entry[cache] = max(meta.revision, entry.get(cache, 0))

    def deleted(self, key: str, cache: Cache, meta: ObjectMeta) -> None:
        """A delete for `key` was acknowledged: `cache` will show the object terminating or gone."""
        self._leaving.setdefault(key, {})[meta.uid] = (cache, meta.key)

    def require_seen(self, key: str) -> None:
        """Raise `RetryLater` while a cache is older than the last write for `key`; the key is queued once it is not."""
        revisions = self._revisions.get(key)
        if revisions is not None:
            for cache, revision in revisions.items():
                if cache.revision < revision:
                    self._waiting_for(cache).for_revision(revision, key)
                    raise RetryLater("own write not in the cache yet", delay_s=_LOOK_AGAIN_S)
            del self._revisions[key]
        leaving = self._leaving.get(key)
        if leaving is not None:
            for uid, (cache, object_key) in leaving.items():
                if _is_there(cache, object_key, uid):
                    self._waiting_for(cache).for_object(object_key, key)
                    raise RetryLater("own delete not in the cache yet", delay_s=_LOOK_AGAIN_S)
            del self._leaving[key]

    def forget(self, key: str) -> None:
        """The key is gone; what was written for it no longer matters."""
        self._revisions.pop(key, None)
        self._leaving.pop(key, None)

    def _waiting_for(self, cache: Cache) -> _Waiting:
        waiting = self._waiting.get(cache)
        if waiting is None:
            waiting = self._waiting[cache] = _Waiting()
            cache.subscribe(partial(self._changed, cache, waiting))
        return waiting

    def _changed(self, cache: Cache, waiting: _Waiting, old: _HasMetadata | None, new: _HasMetadata | None) -> None:
        changed = new or old
        assert changed is not None
        for key in waiting.pop_reached(cache.revision, changed.metadata.key):
            self._queue.add(key)


def _is_there(cache: Cache, object_key: str, uid: str) -> bool:
    present = cache.get(object_key)
    return present is not None and present.metadata.uid == uid and present.metadata.deletion_timestamp is None
