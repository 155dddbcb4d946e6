"""What a controller wrote and its caches have not shown yet, so that nothing is decided on an older state."""

from __future__ import annotations

from typing import Protocol

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.machinery.errors import RetryLater

#: How soon to look whether the watch has brought an own write; it usually takes a few milliseconds.
_LOOK_AGAIN_S = 0.02


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


class Cache(Protocol):
    """The part of an informer that this needs."""

    @property
    def revision(self) -> int: ...

    def get(self, key: str) -> _HasMetadata | None: ...


class OwnWrites:
    """Per queue key: revisions that caches must reach, and objects that must be seen leaving.

    Bounded by the keys that exist: an entry is dropped as soon as it is seen, and `forget` drops a deleted key's.
    """

    def __init__(self) -> None:
        self._revisions: dict[str, dict[int, tuple[Cache, int]]] = {}
        self._leaving: dict[str, dict[str, tuple[Cache, str]]] = {}

    def wrote(self, key: str, cache: Cache, meta: ObjectMeta) -> None:
        """A write for `key` was acknowledged, and `cache` will show it at the revision of `meta`."""
        entry = self._revisions.setdefault(key, {})
        known = entry.get(id(cache))
        revision = max(meta.revision, known[1] if known else 0)
        entry[id(cache)] = (cache, revision)

    def deleted(self, key: str, cache: Cache, meta: ObjectMeta) -> None:
        """A delete for `key` was acknowledged: `cache` will show the object terminating or gone."""
        self._leaving.setdefault(key, {})[meta.uid] = (cache, meta.key)

    def require_seen(self, key: str) -> None:
        """Raise `RetryLater` while a cache is older than the last write for `key`."""
        revisions = self._revisions.get(key)
        if revisions is not None:
            if any(cache.revision < revision for cache, revision in revisions.values()):
                raise RetryLater("own write not in the cache yet", delay_s=_LOOK_AGAIN_S)
            del self._revisions[key]
        leaving = self._leaving.get(key)
        if leaving is not None:
            if any(_is_there(cache, object_key, uid) for uid, (cache, object_key) in leaving.items()):
                raise RetryLater("own delete not in the cache yet", delay_s=_LOOK_AGAIN_S)
            del self._leaving[key]

    def forget(self, key: str) -> None:
        """The key is gone; what was written for it no longer matters."""
        self._revisions.pop(key, None)
        self._leaving.pop(key, None)


def _is_there(cache: Cache, object_key: str, uid: str) -> bool:
    present = cache.get(object_key)
    return present is not None and present.metadata.uid == uid and present.metadata.deletion_timestamp is None
