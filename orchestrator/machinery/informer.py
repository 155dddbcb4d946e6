"""A cache of one resource, kept current by list and watch, with indexes and subscribers.

No single object stops it: what cannot be decoded, indexed or handled is logged and counted, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from orchestrator.api import codec
from orchestrator.api.objects import namespaced_key
from orchestrator.api.resources import Resource
from orchestrator.api.views.meta import ListMeta, ObjectMeta, View
from orchestrator.machinery.backoff import Backoff, jittered
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, Gone, ServiceUnavailable, TooManyRequests, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import (
    INFORMER_FAILURES,
    INFORMER_OBJECTS,
    INFORMER_RELISTS,
    INFORMER_UNDECODABLE,
)
from orchestrator.machinery.seen import Seen, Wake
from orchestrator.machinery.watch_stream import WatchEvent

logger = get_logger(__name__)

# Trouble after which a watch goes on where it was: nothing was said against that.
_PASSING = (Unreachable, TooManyRequests, ServiceUnavailable)
# Some ten seconds of trouble: a server that is started again is no failure.
_FAILURES_SHOWN = 6


class HasMetadata(Protocol):
    """What a view needs for an informer to hold it."""

    @property
    def metadata(self) -> ObjectMeta: ...


#: A page is held as bytes while it is decoded: 15 MB of running pods. Smaller ones cost the server more.
PAGE_ITEMS = 5_000


class _Bookmark(View, frozen=True):
    metadata: ListMeta = ListMeta()


class _Named(View, frozen=True):
    """The least that says which object it is, for one whose view cannot be decoded."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _NamedObject(View, frozen=True):
    metadata: _Named = _Named()


V = TypeVar("V", bound=HasMetadata)
Index = Callable[[V], Iterable[str]]
Handler = Callable[[V | None, V | None], None]


class Informer(Generic[V]):
    """Holds the newest view of every object of a resource. Run `run` in a task; use the rest from the same loop.

    The cache may lag behind the server: compare `revision` with the revision of your own last write before deciding.
    Handlers get (old, new): new is None for a deletion, old is None for an addition; else both are of one uid. A
    handler that raises is logged and counted, and misses that change alone.

    A list comes in pages of `page_items`: fewer where each is large. `keep` makes of each view, as it was decoded, what
    the cache holds: smaller, or sharing parts with others.

    An object that cannot be decoded as the view is `undecodable`: the view of it that there was stays, for it has not
    gone; if there was none, the cache does not have it.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        view: type[V],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, Index[V]] | None = None,
        keep: Callable[[V], V] | None = None,
        page_items: int = PAGE_ITEMS,
        dice: random.Random | None = None,
    ) -> None:
        self.resource = resource
        self._client = client
        self._view = view
        self._scope = (namespace, label_selector, field_selector)
        self._indexes = dict(indexes or {})
        self._keep = keep
        self._page_items = page_items
        self._dice = dice or random.Random()
        self._objects: dict[str, V] = {}
        self._by: dict[str, dict[str, dict[str, V]]] = {name: {} for name in self._indexes}
        self._handlers: list[Handler[V]] = []
        self._undecodable: dict[str, _Named] = {}
        self._seen = Seen(resource.plural)
        self._synced = asyncio.Event()
        self._failures = 0  # in a row: whatever the server says ends the row
        self._barren = 0  # rounds in a row whose watch told nothing before it ended or was gone
        self.revision = 0

    @property
    def has_synced(self) -> bool:
        """Whether the cache has been filled once. Never say "there is none" before that."""
        return self._synced.is_set()

    def failure(self) -> str | None:
        """What keeps the cache from being current, for people; None when all is well."""
        if self._failures < _FAILURES_SHOWN:
            return None
        return f"{self.resource.plural}: the server could not be read {self._failures} times in a row"

    async def wait_synced(self) -> None:
        """Return once the first list is in the cache and the handlers have seen it."""
        await self._synced.wait()

    def get(self, key: str) -> V | None:
        """The object with the key `namespace/name` (or `name`), if the cache has it."""
        return self._objects.get(key)

    def values(self) -> Collection[V]:
        """All objects; a live view, so copy it if you await while iterating."""
        return self._objects.values()

    def by_index(self, index: str, value: str) -> tuple[V, ...]:
        """The objects for which the index function gave `value`."""
        found = self._by[index].get(value)
        return tuple(found.values()) if found else ()

    @property
    def undecodable(self) -> Mapping[str, str]:
        """The objects whose newest revision is no such view: revision by key."""
        return {key: named.resource_version for key, named in self._undecodable.items()}

    @property
    def undecodable_uids(self) -> frozenset[str]:
        """Who they are. They exist, though `values` may lack them: who removes what belongs to nobody asks here too."""
        return frozenset(named.uid for named in self._undecodable.values())

    def subscribe(self, handler: Handler[V]) -> None:
        """Call `handler(old, new)` for every change from here on, and now for what is there already."""
        self._handlers.append(handler)
        for view in tuple(self._objects.values()):
            self._tell(handler, None, view)

    def wake_at(self, revision: int, wake: Wake) -> None:
        """Call `wake()` once, as soon as the cache has reached `revision` and its handlers know; now, if it has.

        A cache of a part of a resource (selectors, one namespace) may reach it only at the next bookmark.
        """
        self._seen.wake_at(revision, wake, reached=self.revision)

    def wake_when_leaving(self, key: str, uid: str, wake: Wake) -> None:
        """Call `wake()` once, as soon as the object is terminating, gone, or another of its name; now, if it is."""
        self._seen.wake_when_leaving(key, uid, wake, present=self._objects.get(key))

    async def run(self) -> None:
        """Keep the cache current, for ever: list, watch, and list again when the watch cannot go on."""
        backoff = Backoff(first_s=0.2, limit_s=10.0)
        listed = False
        while True:
            self._barren += 1
            try:
                if not listed:
                    await self._list()
                    listed = True
                await self._watch()
                self._failures = 0
            except (ApiError, Unreachable, codec.Malformed) as lost:
                if not isinstance(lost, Gone) and (not listed or isinstance(lost, _PASSING)):
                    await self._wait_failed(lost, backoff)
                    continue
                # Too old, or ahead of the server, or not to be read: there is no going on from here.
                logger.info("informer.relist", resource=self.resource.plural, why=str(lost)[:256])
                listed = False
            # A watch may end with nothing told, as when its server goes. A server that always does so is not stormed.
            if self._barren > 1:
                await asyncio.sleep(jittered(backoff.delay_s(self._barren - 1), dice=self._dice))

    async def _wait_failed(self, lost: Exception, backoff: Backoff) -> None:
        self._failures += 1
        self._barren = 0
        delay_s = jittered(backoff.delay_s(self._failures), dice=self._dice)
        logger.warning("informer.lost", resource=self.resource.plural, why=str(lost)[:256], delay_s=round(delay_s, 2))
        await asyncio.sleep(delay_s)

    async def _list(self) -> None:
        """In pages of one snapshot, so that the whole of a large resource is never in memory as bytes."""
        namespace, labels, fields = self._scope
        views: list[V] = []
        broken: set[str] = set()
        revision, token = 0, ""
        while True:
            page = await self._client.list(
                self.resource,
                namespace,
                into=msgspec.Raw,
                label_selector=labels,
                field_selector=fields,
                limit=self._page_items,
                continue_token=token,
            )
            views += self._decoded(page.items, broken)
            revision, token = revision or page.revision, page.continue_token
            if not token:
                break
        for key in self._undecodable.keys() - broken:
            self._note_decodable(key)
        INFORMER_RELISTS.labels(self.resource.plural).inc()
        self._failures = 0
        self.replace(views, revision)

    def _decoded(self, items: Iterable[msgspec.Raw], broken: set[str]) -> Iterator[V]:
        """The views of a list's items; for what cannot be decoded, the view that there was, with its key in `broken`.

        What has not changed is the view that we have, so that a list takes no memory for it.
        """
        for item in items:
            try:
                view = self._decode(item)
                old = self._objects.get(view.metadata.key)
                same = old is not None and old.metadata.resource_version == view.metadata.resource_version
                yield old if old is not None and same else view
            except ValueError as undecodable:
                try:
                    key, _, old = self._undecoded(item, undecodable)
                except ValueError as unreadable:
                    self._note_unreadable("listed", unreadable)
                    continue
                broken.add(key)
                if old is not None:
                    yield old

    def _decode(self, data: bytes | msgspec.Raw) -> V:
        view = codec.decode_into(data, self._view)
        if self._keep is None:
            return view
        try:
            return self._keep(view)
        except Exception:
            logger.exception("informer.keep_failed", **self._counted("keep", view))
            return view

    async def _watch(self) -> None:
        namespace, labels, fields = self._scope
        async for event in self._client.watch(
            self.resource, namespace, revision=self.revision, label_selector=labels, field_selector=fields
        ):
            self._failures = self._barren = 0
            self.apply(event)

    def replace(self, items: Iterable[V], revision: int) -> None:
        """Make the cache hold exactly `items`, telling handlers only what differs."""
        fresh = {item.metadata.key: item for item in items}
        self.revision = revision
        for key in [key for key in self._objects if key not in fresh]:
            self._set(key, None)
        for key, item in fresh.items():
            old = self._objects.get(key)
            if old is None or old.metadata.resource_version != item.metadata.resource_version:
                self._set(key, item)
        self._synced.set()
        self._seen.reached(revision)

    def apply(self, event: WatchEvent) -> None:
        """Take one watch event into the cache."""
        try:
            key, revision, new = self._read(event)
        except ValueError as broken:
            # Not even its name can be read, so nothing can be done about it; the next event brings the revision on.
            self._note_unreadable(event.type, broken)
            return
        self.revision = max(self.revision, revision)
        if event.type != "BOOKMARK":
            self._set(key, new)
        self._seen.reached(self.revision)

    def _read(self, event: WatchEvent) -> tuple[str, int, V | None]:
        """The event's key, revision, and the view to hold from here on. Raises `ValueError` if it names no object."""
        if event.type == "BOOKMARK":
            # Only its revision is real: a bookmark's other metadata may be null.
            return "", int(codec.decode_into(event.object, _Bookmark).metadata.resource_version), None
        if event.type == "DELETED":
            named = codec.decode_into(event.object, _NamedObject).metadata
            key = namespaced_key(named.namespace, named.name)
            self._note_decodable(key)
            return key, int(named.resource_version or 0), None
        try:
            view = self._decode(event.object)
            revision = view.metadata.revision
        except ValueError as broken:
            return self._undecoded(event.object, broken)
        key = view.metadata.key
        self._note_decodable(key)
        return key, revision, view

    def _undecoded(self, data: bytes | msgspec.Raw, broken: ValueError) -> tuple[str, int, V | None]:
        """Note an object that is no such view: the view of it that we have stays, unless it is a namesake's."""
        named = codec.decode_into(data, _NamedObject).metadata
        key, revision = namespaced_key(named.namespace, named.name), int(named.resource_version or 0)
        old = self._objects.get(key)
        if self._undecodable.get(key) != named:
            self._undecodable[key] = named
            INFORMER_FAILURES.labels(self.resource.plural, "decode").inc()
            INFORMER_UNDECODABLE.labels(self.resource.plural).set(len(self._undecodable))
            logger.error(
                "informer.undecodable",
                resource=self.resource.plural,
                key=key,
                revision=named.resource_version,
                why=str(broken)[:256],
                kept=old is not None,
            )
        return key, revision, old if old is not None and old.metadata.uid == named.uid else None

    def _note_unreadable(self, found: str, broken: ValueError) -> None:
        INFORMER_FAILURES.labels(self.resource.plural, "decode").inc()
        logger.error("informer.unreadable", resource=self.resource.plural, found=found, why=str(broken)[:256])

    def _note_decodable(self, key: str) -> None:
        if self._undecodable.pop(key, None) is not None:
            INFORMER_UNDECODABLE.labels(self.resource.plural).set(len(self._undecodable))

    def _set(self, key: str, new: V | None) -> None:
        old = self._objects.get(key)
        if old is None and new is None:
            return
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            # Replaced since we looked: two objects, and whoever keeps count of either must hear of both.
            self._set(key, None)
            old = None
        self._objects.pop(key, None)
        if new is not None:
            self._objects[key] = new
        for name, index in self._indexes.items():
            self._reindex(self._by[name], index, key, old, new)
        INFORMER_OBJECTS.labels(self.resource.plural).set(len(self._objects))
        for handler in self._handlers:
            self._tell(handler, old, new)
        self._seen.changed(key, new)

    def _tell(self, handler: Handler[V], old: V | None, new: V | None) -> None:
        try:
            handler(old, new)
        except Exception:
            logger.exception("informer.handle_failed", **self._counted("handle", new or old))

    def _values(self, index: Index[V], view: V | None) -> tuple[str, ...]:
        if view is None:
            return ()
        try:
            return tuple(index(view))
        except Exception:
            logger.exception("informer.index_failed", **self._counted("index", view))
            return ()

    def _counted(self, what: str, view: V | None) -> dict[str, str]:
        """Count a failure; what the log should say of the object that it was about."""
        assert view is not None
        INFORMER_FAILURES.labels(self.resource.plural, what).inc()
        meta = view.metadata
        return {"resource": self.resource.plural, "key": meta.key, "revision": meta.resource_version}

    def _reindex(
        self, entries: dict[str, dict[str, V]], index: Index[V], key: str, old: V | None, new: V | None
    ) -> None:
        for value in self._values(index, old):
            bucket = entries.get(value)
            if bucket is not None:
                bucket.pop(key, None)
                if not bucket:
                    del entries[value]
        for value in self._values(index, new):
            entries.setdefault(value, {})[key] = new  # type: ignore[assignment]  # no values without a view
