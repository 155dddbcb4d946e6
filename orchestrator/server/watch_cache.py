"""Every object as the bytes that clients get, kept current from the store, and recent events for watches to resume.

Nothing is kept decoded. A list is a walk over byte strings in key order; a watch event is encoded once for everybody.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import chain, count, islice
from typing import Literal

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN, Index, Kinds
from orchestrator.api.resources import Resource
from orchestrator.server.watches import Event, Progress, Watchers, restamp
from orchestrator.store.base import NEWEST_TIMEOUT_S, Batch, Compacted, Listing, Store

PREFIX = "/registry/"
# A watcher that lost its connection comes back within seconds: this is that much, even in a storm of writes.
_WINDOW_EVENTS_MAX = 10_000
# What the window alone keeps alive (replaced and deleted objects); the newest objects are there anyway.
_WINDOW_BYTES_MAX = 8 << 20

#: Called with (old, new) stamped bytes after a change has been applied; must be quick and must not raise.
Listener = Callable[[bytes | None, bytes | None], None]


def key_of(resource: Resource, namespace: str, name: str) -> str:
    """Where an object is stored."""
    if namespace:
        return f"{PREFIX}{resource.group or 'core'}/{resource.plural}/{namespace}/{name}"
    return f"{PREFIX}{resource.group or 'core'}/{resource.plural}/{name}"


def prefix_of(resource: Resource, namespace: str = "") -> str:
    """The common beginning of the keys of a collection, or of one namespace of it."""
    return key_of(resource, namespace, "")


class _Bucket:
    """The objects of one namespace (or of a resource without namespaces), in key order whenever somebody looks."""

    __slots__ = ("_last", "_sorted", "values")

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self._sorted = True
        self._last = ""

    def put(self, name: str, value: bytes) -> None:
        if name not in self.values:
            if name < self._last:
                self._sorted = False
            else:
                self._last = name
        self.values[name] = value

    def ordered(self) -> dict[str, bytes]:
        if not self._sorted:
            self.values = dict(sorted(self.values.items()))
            self._sorted = True
            self._last = next(reversed(self.values), "")
        return self.values


class _Indexed:
    """The keys of a collection by the value of one field; those without a value are not in it."""

    __slots__ = ("index", "keys")

    def __init__(self, index: Index) -> None:
        self.index = index
        self.keys: dict[str, dict[tuple[str, str], None]] = {}

    def change(self, key: tuple[str, str], old: bytes | None, new: bytes | None) -> Iterator[tuple[str, str]]:
        """Follow a change of one object; returns the field with the values that it had and has."""
        before = self.index.of(old) if old is not None else ""
        after = self.index.of(new) if new is not None else ""
        if before and (after != before or new is None) and (there := self.keys.get(before)) is not None:
            there.pop(key, None)
            if not there:
                del self.keys[before]
        if after:
            self.keys.setdefault(after, {})[key] = None
        return ((self.index.field, one) for one in {before, after} if one)


class Collection:
    """One resource's objects, window and watchers."""

    def __init__(self, *, progress: Progress, window_start: int, indexes: Sequence[Index] = ()) -> None:
        self.watchers = Watchers(progress, [index.field for index in indexes])
        self.listeners: list[Listener] = []
        #: The newest revision that changed anything in here.
        self.changed = window_start
        self._buckets: dict[str, _Bucket] = {}
        self._namespaces: list[str] | None = []
        self._indexes = tuple(_Indexed(index) for index in indexes)
        self._window: deque[Event] = deque()
        self._window_bytes = 0
        #: Watches resume from this revision on.
        self.window_start = window_start

    def __len__(self) -> int:
        return sum(len(bucket.values) for bucket in self._buckets.values())

    def get(self, namespace: str, name: str) -> bytes | None:
        bucket = self._buckets.get(namespace)
        return bucket.values.get(name) if bucket is not None else None

    def values(self, namespace: str = "") -> list[bytes]:
        """The objects of a namespace, or all of them, in key order; the list is the caller's own."""
        if namespace or self._is_flat():
            bucket = self._buckets.get(namespace)
            return list(bucket.ordered().values()) if bucket is not None else []
        return list(chain.from_iterable(self._buckets[one].ordered().values() for one in self._in_order()))

    def items(self, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[tuple[str, str, bytes]]:
        """(namespace, name, object) in key order, all or those behind a position. Use it up before anything changes."""
        for one, values, skipped in self._buckets_behind(namespace, after):
            for name, value in islice(values.items(), skipped, None):
                yield one, name, value

    def count(self, namespace: str = "", after: tuple[str, str] | None = None) -> int:
        """How many `items` there are."""
        return sum(len(values) - skipped for _, values, skipped in self._buckets_behind(namespace, after))

    def before(self, revision: int) -> dict[tuple[str, str], bytes | None] | None:
        """What has changed since a revision, as it was then (None: it was not there); None if that is not kept."""
        events = self.since(revision)
        if events is None:
            return None
        # The first change of an object since then tells what was there before.
        return {(event.namespace, event.name): event.old for event in reversed(events)}

    def by_index(self, field: str, value: str) -> list[bytes]:
        """The objects of which an indexed field has this value, in key order."""
        indexed = next(one for one in self._indexes if one.index.field == field)
        keys = sorted(indexed.keys.get(value, ()), key=lambda key: (key[0] + "/", key[1]))
        return [self._buckets[namespace].values[name] for namespace, name in keys]

    def since(self, revision: int) -> list[Event] | None:
        """The events after a revision, oldest first; None if they are not all kept any more."""
        if revision < self.window_start:
            return None
        found: list[Event] = []
        for event in reversed(self._window):
            if event.revision <= revision:
                break
            found.append(event)
        found.reverse()
        return found

    def load(self, namespace: str, name: str, value: bytes) -> None:
        """Take in an object that was there before anybody watched."""
        self._bucket(namespace).put(name, value)
        for indexed in self._indexes:
            indexed.change((namespace, name), None, value)

    def apply(self, namespace: str, name: str, value: bytes | None, revision: int) -> None:
        """Take in a change; `value` None is a deletion, whose event shows what was there last."""
        bucket = self._bucket(namespace)
        old = bucket.values.get(name)
        if value is None:
            bucket.values.pop(name, None)
            if not bucket.values:
                del self._buckets[namespace]
                self._namespaces = None
        else:
            bucket.put(name, value)
        concerned = [one for indexed in self._indexes for one in indexed.change((namespace, name), old, value)]
        self.changed = revision
        kind: Literal["ADDED", "MODIFIED", "DELETED"] = (
            "DELETED" if value is None else "ADDED" if not old else "MODIFIED"
        )
        if value is not None:
            shown = value
        else:
            assert old is not None, "a deletion without something deleted"
            shown = restamp(old, revision)
        event = Event(kind, namespace, name, shown, old, revision)
        self._remember(event)
        self.watchers.publish(event, concerned)
        for listener in self.listeners:
            listener(old, value)

    def close_window(self, revision: int) -> None:
        """Forget the events up to here: nobody resumes from before."""
        self._window.clear()
        self._window_bytes = 0
        self.window_start = revision

    def _remember(self, event: Event) -> None:
        self._window.append(event)
        self._window_bytes += event.weight
        while len(self._window) > _WINDOW_EVENTS_MAX or self._window_bytes > _WINDOW_BYTES_MAX:
            forgotten = self._window.popleft()
            self._window_bytes -= forgotten.weight
            self.window_start = forgotten.revision

    def _bucket(self, namespace: str) -> _Bucket:
        bucket = self._buckets.get(namespace)
        if bucket is None:
            bucket = self._buckets[namespace] = _Bucket()
            self._namespaces = None
        return bucket

    def _buckets_behind(
        self, namespace: str, after: tuple[str, str] | None
    ) -> Iterator[tuple[str, dict[str, bytes], int]]:
        """The buckets with objects behind a position, in key order, and how many of the first are not behind it."""
        for one in [namespace] if namespace else self._in_order():
            bucket = self._buckets.get(one)
            if bucket is None or (after is not None and f"{one}/" < f"{after[0]}/"):
                continue
            values = bucket.ordered()
            yield one, values, bisect_right(list(values), after[1]) if after is not None and one == after[0] else 0

    def _is_flat(self) -> bool:
        return len(self._buckets) == 1 and "" in self._buckets

    def _in_order(self) -> list[str]:
        if self._namespaces is None:
            # With the slash: keys are ordered as whole strings, and "a-b/" comes before "a/".
            self._namespaces = sorted(self._buckets, key=lambda namespace: namespace + "/")
        return self._namespaces


class WatchCache:
    """All collections. `start`, then `run` in a task; reads that must be fresh `wait_fresh` first."""

    def __init__(self, store: Store, kinds: Kinds = BUILT_IN) -> None:
        self._store = store
        self._indexes = {(row.storage.group, row.storage.plural): row.indexes for row in kinds.rows if row.indexes}
        self._collections: dict[tuple[str, str], Collection] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        # Whether everything that was there at the start has been taken in, and whether it is being followed.
        self._has_loaded = self._has_ended = False
        # Moves on only when a whole batch has been offered to the watchers.
        self._progress = Progress()
        # Nothing has happened since to a collection that nobody has heard of.
        self._windows_from = 0

    @property
    def revision(self) -> int:
        """What it shows: everything up to here."""
        return self._progress.revision

    async def start(self) -> None:
        """Load everything, beginning where the store's history does, so that watches resume across our restart."""
        newest = await self._store.newest_revision()
        listing = await self._oldest_listing()
        self._progress.revision = self._windows_from = listing.revision
        for record in listing.records:
            collection, namespace, name = self._locate(record.key)
            collection.load(namespace, name, codec.stamp(record.value, record.revision))
        if self.revision < newest:
            async with aclosing(self._store.watch(PREFIX, from_revision=self.revision)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    self._apply(batch)
                    if self.revision >= newest:
                        break
        self._has_loaded = True

    async def _oldest_listing(self) -> Listing:
        """What there was at the oldest revision that can still be read."""
        oldest = 0
        while True:
            try:
                return await self._store.list(PREFIX, at_revision=oldest)
            except Compacted as exc:
                oldest = exc.oldest

    async def run(self) -> None:
        """Follow the store until it closes."""
        try:
            async for batch in self._store.watch(PREFIX, from_revision=self.revision):
                self._apply(batch)
        finally:
            self._has_ended = True

    def failure(self) -> str | None:
        """What keeps it from showing what is there, for people; None when all is well."""
        if self._has_ended:
            return "the store is not followed any more"
        return None if self._has_loaded else "not loaded yet"

    def collection(self, resource: Resource) -> Collection:
        """The collection of a resource, whatever its version."""
        return self._collection(resource.group, resource.plural)

    def collections(self) -> list[tuple[str, Collection]]:
        """All of them, by the name of their resource (`pods`, `deployments.apps`)."""
        return [(f"{plural}.{group}" if group else plural, one) for (group, plural), one in self._collections.items()]

    def get(self, resource: Resource, namespace: str, name: str) -> bytes | None:
        """One object's bytes. (This and the next two are the `Objects` of admission and authorization.)"""
        collection = self._collections.get((resource.group, resource.plural))
        return collection.get(namespace, name) if collection is not None else None

    def list(self, resource: Resource, namespace: str = "") -> Sequence[bytes]:
        """All objects of a resource, or those in one namespace, in key order."""
        return self.collection(resource).values(namespace)

    def by_index(self, resource: Resource, index: str, value: str) -> Iterable[bytes]:
        """Objects by a field that their row has an index of."""
        return self.collection(resource).by_index(index, value)

    def subscribe(self, resource: Resource, listener: Listener) -> None:
        """Call `listener(old, new)` for every change from here on, after it has been applied."""
        self.collection(resource).listeners.append(listener)

    def forget(self, resource: Resource) -> None:
        """Keep nothing of a resource that is served no more but its objects, which may be served again."""
        key = (resource.group, resource.plural)
        collection = self._collections.get(key)
        if collection is not None:
            collection.close_window(self.revision)
            if not len(collection) and not collection.listeners:
                del self._collections[key]
                self._windows_from = self.revision  # if it comes back, then not with a hole in its window

    async def wait_fresh(self) -> bool:
        """Wait until it shows every write acknowledged before the call; returns whether it did not already.

        The one place where the newest revision is asked for, and the one time limit on it: raises `TimeoutError`.
        """
        newest = await self._store.newest_revision()
        if self.revision >= newest:
            return False
        async with asyncio.timeout(NEWEST_TIMEOUT_S):
            await self.wait(newest)
        return True

    async def wait(self, revision: int) -> None:
        """Wait until it shows at least this revision; the caller sets the time limit."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            # A client may name any revision, also one that will never come: nothing of it stays behind.
            self._waiting = [one for one in self._waiting if not one[2].done()]
            heapq.heapify(self._waiting)
            raise

    def _apply(self, batch: Batch) -> None:
        for change in batch.changes:
            collection, namespace, name = self._locate(change.key)
            value = codec.stamp(change.value, change.revision) if change.value is not None else None
            collection.apply(namespace, name, value, change.revision)
        self._progress.revision = batch.revision
        while self._waiting and self._waiting[0][0] <= self.revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def _locate(self, key: str) -> tuple[Collection, str, str]:
        parts = key.split("/")
        group = "" if parts[2] == "core" else parts[2]
        return self._collection(group, parts[3]), parts[4] if len(parts) == 6 else "", parts[-1]

    def _collection(self, group: str, plural: str) -> Collection:
        collection = self._collections.get((group, plural))
        if collection is None:
            indexes = self._indexes.get((group, plural), ())
            collection = self._collections[group, plural] = Collection(
                progress=self._progress, window_start=self._windows_from, indexes=indexes
            )
        return collection
