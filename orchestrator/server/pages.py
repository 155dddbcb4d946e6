"""Pages of a collection: the objects that a list selects, as they are or as they were at a revision."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.server.list_options import Position
from orchestrator.server.watch_cache import Collection
from orchestrator.server.watches import Filter, Side
from orchestrator.store.base import Record

Item = tuple[str, str, bytes]

# Selecting decodes: others get the loop after this many objects.
_YIELD_EVERY = 500


@dataclass(frozen=True, slots=True)
class Page:
    """What a list shows. `last` is its last object's position if more may follow, `remaining` how many, if known."""

    values: list[bytes]
    last: Position | None = None
    remaining: int | None = None


async def of_cache(collection: Collection, kind: Kind, filter_: Filter, after: Position | None, limit: int) -> Page:
    """A page of what the cache shows at this moment."""
    if filter_.is_open and not limit and after is None:
        return Page(collection.values(filter_.namespace))
    if filter_.is_open:
        return _cut(collection.items(filter_.namespace, after), limit, collection.count(filter_.namespace, after))
    return await _selected(candidates(collection, kind, filter_, after), filter_, limit)


def candidates(collection: Collection, kind: Kind, filter_: Filter, after: Position | None = None) -> list[Item]:
    """What a filter may select of what is there now, in key order; few where it names one, or indexed values."""
    bound = _position_of(after) if after is not None else ""
    name = filter_.fields.exact("metadata.name")
    indexed = ((index.field, filter_.fields.exact(index.field)) for index in kind.indexes)
    field, wanted = next(((field, wanted) for field, wanted in indexed if wanted), ("", ""))
    if name and (filter_.namespace or not kind.resource.namespaced):
        value = collection.get(filter_.namespace, name)
        found = [] if value is None else [(filter_.namespace, name, value)]
    elif wanted:
        found = [_item(value) for value in collection.by_index(field, wanted)]
    else:
        return list(collection.items(filter_.namespace, after))
    return [item for item in found if _position_of(item) > bound]


async def of_past(
    collection: Collection,
    was: Mapping[tuple[str, str], bytes | None],
    filter_: Filter,
    after: Position | None,
    limit: int,
) -> Page:
    """A page of what the cache showed once; `was` is what has changed since, as it was then."""
    bound = _position_of(after) if after is not None else ""
    restored = sorted(
        (
            (*position, value)
            for position, value in was.items()
            if value is not None and _position_of(position) > bound and filter_.namespace in ("", position[0])
        ),
        key=_position_of,
    )
    unchanged = (item for item in collection.items(filter_.namespace, after) if item[:2] not in was)
    items = heapq.merge(unchanged, restored, key=_position_of)
    if not filter_.is_open:
        return await _selected(list(items), filter_, limit)
    changed = sum(1 for position in was if _is_behind(collection, position, filter_, bound))
    return _cut(items, limit, collection.count(filter_.namespace, after) - changed + len(restored))


async def of_store(records: Iterable[Record], filter_: Filter, limit: int, *, more: bool) -> Page:
    """A page of what the store listed; with `more`, there are more than it listed."""
    items: list[Item] = []
    for record in records:
        parts = record.key.split("/")
        namespace = parts[4] if len(parts) == 6 else ""
        items.append((namespace, parts[-1], codec.stamp(record.value, record.revision)))
    if filter_.is_open:
        last = Position(*items[-1][:2]) if more and items else None
        return Page([value for _, _, value in items], last)
    return await _selected(items, filter_, limit)


def _cut(items: Iterator[Item], limit: int, count: int) -> Page:
    """The first of these; `count` is how many there are. Nothing is awaited: they are all of one moment."""
    chosen = list(islice(items, limit or None))
    remaining = count - len(chosen)
    values = [value for _, _, value in chosen]
    return Page(values, Position(*chosen[-1][:2]), remaining) if remaining and chosen else Page(values)


async def _selected(items: list[Item], filter_: Filter, limit: int) -> Page:
    """The first that match. How many of the rest do nobody knows, and Kubernetes says nothing then."""
    values: list[bytes] = []
    last: Position | None = None
    for number, (namespace, name, value) in enumerate(items, 1):
        if filter_.matches(Side(namespace, name, value)):
            if limit and len(values) == limit:
                return Page(values, last)
            values.append(value)
            last = Position(namespace, name)
        if number % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
    return Page(values)


def _is_behind(collection: Collection, position: tuple[str, str], filter_: Filter, bound: str) -> bool:
    """Whether something that has changed is still there, among what the page is cut from."""
    if filter_.namespace not in ("", position[0]) or _position_of(position) <= bound:
        return False
    return collection.get(*position) is not None


def _item(value: bytes) -> Item:
    meta = codec.decode(value)["metadata"]
    return meta.get("namespace", ""), meta["name"], value


def _position_of(item: tuple[str, str] | Item) -> str:
    """By which objects are in order: the end of their keys."""
    return f"{item[0]}/{item[1]}"
