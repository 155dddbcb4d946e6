"""What a controller wrote and its caches have not shown yet, so that nothing is decided on an older state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.machinery.errors import RetryLater

#: A key is woken by its cache, so nothing but a cache that stands still waits for this.
_LOOK_AGAIN_S = 30.0


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


class Cache(Protocol):
    """The part of an informer that this needs."""

    @property
    def revision(self) -> int: ...

    def get(self, key: str) -> _HasMetadata | None: ...

    def wake_at(self, revision: int, wake: Callable[[], object]) -> None: ...

    def wake_when_leaving(self, key: str, uid: str, wake: Callable[[], object]) -> None: ...


class Queue(Protocol):
    """Where keys go that may be decided again."""

    def add(self, key: str) -> None: ...


class OwnWrites:
    """Per queue key: revisions that caches must reach, and objects that must be seen leaving.

    Bounded by the keys that exist: an entry is dropped as soon as it is seen, and `forget` drops a deleted key's.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._revisions: dict[str, dict[Cache, int]] = {}
        self._leaving: dict[str, dict[str, tuple[Cache, str]]] = {}
        self._awaited: set[tuple[str, Cache, int | str]] = set()  # by key, cache, and the revision or the uid

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
                    awaited = (key, cache, revision)
                    if self._is_first(awaited):
                        cache.wake_at(revision, partial(self._wake, awaited))
                    raise RetryLater("own write not in the cache yet", delay_s=_LOOK_AGAIN_S)
            del self._revisions[key]
        leaving = self._leaving.get(key)
        if leaving is not None:
            for uid, (cache, object_key) in leaving.items():
                if _is_there(cache, object_key, uid):
                    going = (key, cache, uid)
                    if self._is_first(going):
                        cache.wake_when_leaving(object_key, uid, partial(self._wake, going))
                    raise RetryLater("own delete not in the cache yet", delay_s=_LOOK_AGAIN_S)
            del self._leaving[key]

    def forget(self, key: str) -> None:
        """The key is gone; what was written for it no longer matters."""
        self._revisions.pop(key, None)
        self._leaving.pop(key, None)

    def _is_first(self, awaited: tuple[str, Cache, int | str]) -> bool:
        if awaited in self._awaited:
            return False
        self._awaited.add(awaited)
        return True

    def _wake(self, awaited: tuple[str, Cache, int | str]) -> None:
        self._awaited.discard(awaited)
        self._queue.add(awaited[0])


def _is_there(cache: Cache, object_key: str, uid: str) -> bool:
    present = cache.get(object_key)
    return present is not None and present.metadata.uid == uid and present.metadata.deletion_timestamp is None
