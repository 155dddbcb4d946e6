"""A cache of one resource, kept current by list and watch, with indexes and subscribers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from orchestrator.api import codec
from orchestrator.api.resources import Resource
from orchestrator.api.views.meta import ListMeta, ObjectMeta, View
from orchestrator.machinery.backoff import Backoff, jittered
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, Gone, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import INFORMER_OBJECTS, INFORMER_RELISTS
from orchestrator.machinery.watch_stream import WatchEvent

logger = get_logger(__name__)


class HasMetadata(Protocol):
    """What a view needs for an informer to hold it."""

    @property
    def metadata(self) -> ObjectMeta: ...


class _Bookmark(View, frozen=True):
    metadata: ListMeta = ListMeta()


V = TypeVar("V", bound=HasMetadata)
Index = Callable[[V], Iterable[str]]
Handler = Callable[[V | None, V | None], None]


class Informer(Generic[V]):
    """Holds the newest view of every object of a resource. Run `run` in a task; use the rest from the same loop.

    The cache may lag behind the server: compare `revision` with the revision of your own last write before deciding.
    Handlers get (old, new): new is None for a deletion, old is None for an addition.
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
        dice: random.Random | None = None,
    ) -> None:
        self.resource = resource
        self._client = client
        self._view = view
        self._scope = (namespace, label_selector, field_selector)
        self._indexes = dict(indexes or {})
        self._dice = dice or random.Random()
        self._objects: dict[str, V] = {}
        self._by: dict[str, dict[str, dict[str, V]]] = {name: {} for name in self._indexes}
        self._handlers: list[Handler[V]] = []
        self._synced = asyncio.Event()
        self._failures = 0  # in a row: whatever the server says ends the row
        self._barren = 0  # rounds in a row whose watch told nothing before it ended or was gone
        self.revision = 0

    @property
    def has_synced(self) -> bool:
        """Whether the cache has been filled once. Never say "there is none" before that."""
        return self._synced.is_set()

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

    def subscribe(self, handler: Handler[V]) -> None:
        """Call `handler(old, new)` for every change from here on, and now for what is there already."""
        self._handlers.append(handler)
        for view in tuple(self._objects.values()):
            handler(None, view)

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
            except Gone as gone:
                logger.info("informer.relist", resource=self.resource.plural, why=str(gone))
                listed = False
            except (ApiError, Unreachable) as lost:
                self._failures += 1
                self._barren = 0
                delay_s = jittered(backoff.delay_s(self._failures), dice=self._dice)
                logger.warning(
                    "informer.lost", resource=self.resource.plural, why=str(lost)[:256], delay_s=round(delay_s, 2)
                )
                await asyncio.sleep(delay_s)
                continue
            # A watch may end with nothing told, as when its server goes. A server that always does so is not stormed.
            if self._barren > 1:
                await asyncio.sleep(jittered(backoff.delay_s(self._barren - 1), dice=self._dice))

    async def _list(self) -> None:
        namespace, labels, fields = self._scope
        listing = await self._client.list(
            self.resource, namespace, into=self._view, label_selector=labels, field_selector=fields
        )
        INFORMER_RELISTS.labels(self.resource.plural).inc()
        self._failures = 0
        self.replace(listing.items, listing.revision)

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

    def apply(self, event: WatchEvent) -> None:
        """Take one watch event into the cache."""
        if event.type == "BOOKMARK":
            # Only its revision is real: a bookmark's other metadata may be null.
            self.revision = max(
                self.revision, int(codec.decode_into(event.object, _Bookmark).metadata.resource_version)
            )
            return
        item = codec.decode_into(event.object, self._view)
        self.revision = max(self.revision, item.metadata.revision)
        self._set(item.metadata.key, None if event.type == "DELETED" else item)

    def _set(self, key: str, new: V | None) -> None:
        old = self._objects.pop(key, None)
        if old is None and new is None:
            return
        if new is not None:
            self._objects[key] = new
        for name, index in self._indexes.items():
            self._reindex(self._by[name], index, key, old, new)
        INFORMER_OBJECTS.labels(self.resource.plural).set(len(self._objects))
        for handler in self._handlers:
            handler(old, new)

    @staticmethod
    def _reindex(entries: dict[str, dict[str, V]], index: Index[V], key: str, old: V | None, new: V | None) -> None:
        if old is not None:
            for value in index(old):
                bucket = entries.get(value)
                if bucket is not None:
                    bucket.pop(key, None)
                    if not bucket:
                        del entries[value]
        if new is not None:
            for value in index(new):
                entries.setdefault(value, {})[key] = new
