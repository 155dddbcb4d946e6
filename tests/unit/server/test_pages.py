"""Pages of a collection show each object that a list selects once, as it was at the list's revision."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.resources import CONFIGMAPS
from orchestrator.api.selectors import parse_field_selector, parse_label_selector
from orchestrator.server import pages
from orchestrator.server.list_options import Position
from orchestrator.server.pages import Page
from orchestrator.server.watch_cache import Collection, WatchCache, key_of, prefix_of
from orchestrator.server.watches import Filter, Progress
from orchestrator.store.base import Record
from orchestrator.store.memory import MemoryStore

CONFIGMAP = BUILT_IN.find("", "v1", "configmaps")
assert CONFIGMAP is not None
KIND = CONFIGMAP
# Each with a reading of its own: whether it selects (namespace, name, label).
FILTERS: list[tuple[Filter, Callable[[str, str, str], bool]]] = [
    (Filter(), lambda namespace, name, label: True),
    (Filter(namespace="a"), lambda namespace, name, label: namespace == "a"),
    (Filter(labels=parse_label_selector("x=1")), lambda namespace, name, label: label == "1"),
    (
        Filter(namespace="a-b", labels=parse_label_selector("x!=1")),
        lambda namespace, name, label: namespace == "a-b" and label != "1",
    ),
    (
        Filter(namespace="a", fields=parse_field_selector("metadata.name=p2")),
        lambda namespace, name, label: (namespace, name) == ("a", "p2"),
    ),
    (Filter(fields=parse_field_selector("metadata.name=p2")), lambda namespace, name, label: name == "p2"),
]
STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["a", "a-b"]), st.sampled_from(["p1", "p2", "p3"]), st.sampled_from("12")),
    max_size=20,
)
Model = Mapping[tuple[str, str], str]


def shown(page: Page) -> list[tuple[str, str]]:
    metas = [json.loads(value)["metadata"] for value in page.values]
    return [(meta["namespace"], meta["name"]) for meta in metas]


async def page_at(
    store: MemoryStore,
    collection: Collection,
    filter_: Filter,
    revision: int,
    after: Position | None,
    limit: int,
    how: str,
) -> Page:
    if how == "store":
        behind = key_of(CONFIGMAPS, *after) if after is not None else ""
        listing = await store.list(
            prefix_of(CONFIGMAPS, filter_.namespace),
            at_revision=revision,
            after_key=behind,
            limit=limit if filter_.is_open else 0,
        )
        return await pages.of_store(listing.records, filter_, limit, more=listing.more)
    if how == "now":
        return await pages.of_cache(collection, KIND, filter_, after, limit)
    was = collection.before(revision)
    assert was is not None
    return await pages.of_past(collection, was, filter_, after, limit)


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, at=st.integers(0, 20), limit=st.integers(0, 3), how=st.sampled_from(["store", "past", "now"]))
def test_pages_together_are_the_list(steps: list[tuple[bool, str, str, str]], at: int, limit: int, how: str) -> None:
    async def check() -> None:
        store = MemoryStore()
        cache = WatchCache(store)
        await cache.start()
        running = asyncio.get_running_loop().create_task(cache.run())
        model: Model = {}
        history: list[tuple[int, Model]] = [(0, {})]
        for is_put, namespace, name, label in steps:
            key, position = key_of(CONFIGMAPS, namespace, name), (namespace, name)
            if is_put:
                obj = {"metadata": {"name": name, "namespace": namespace, "labels": {"x": label}}}
                revision = await store.put(key, codec.encode_unstamped(obj), expect_revision=None)
                model = {**model, position: label}
            elif position in model:
                revision = await store.delete(key, expect_revision=None)
                model = {one: value for one, value in model.items() if one != position}
            else:
                continue
            history.append((revision, model))
        await cache.wait_fresh()
        revision, then = history[-1] if how == "now" else history[min(at, len(history) - 1)]
        collection = cache.collection(CONFIGMAPS)
        for filter_, selects in FILTERS:
            # In the order of keys: "a-b/" before "a/".
            ordered = sorted(then, key="/".join)
            wanted = [position for position in ordered if selects(*position, then[position])]
            seen: list[tuple[str, str]] = []
            after: Position | None = None
            while True:
                page = await page_at(store, collection, filter_, revision, after, limit, how)
                seen += shown(page)
                assert not limit or len(page.values) <= limit
                if page.remaining is not None:
                    assert page.remaining == len(wanted) - len(seen) > 0
                elif filter_.is_open and how != "store":
                    assert page.last is None
                if page.last is None:
                    break
                after = page.last
            assert seen == wanted
        running.cancel()

    asyncio.run(check())


def a_collection(names: str) -> Collection:
    collection = Collection(progress=Progress(), window_start=1)
    for revision, name in enumerate(names, 2):
        change(collection, name, revision)
    return collection


def change(collection: Collection, name: str, revision: int) -> None:
    value = codec.encode_unstamped({"metadata": {"name": name, "namespace": "a", "labels": {"x": name}}})
    collection.apply("a", name, codec.stamp(value, revision), revision)


async def test_how_many_remain_of_a_past_list_does_not_count_what_changed_before_the_page() -> None:
    collection = a_collection("bcdef")
    for name, revision in (("b", 7), ("c", 8), ("e", 9)):
        change(collection, name, revision)
    was = collection.before(6)
    assert was is not None
    page = await pages.of_past(collection, was, Filter(), Position("a", "c"), 1)
    assert (shown(page), page.last, page.remaining) == ([("a", "d")], Position("a", "d"), 2)


async def test_a_page_that_is_just_full_is_the_last_one() -> None:
    collection = a_collection("bcd")
    some = Filter(labels=parse_label_selector("x in (b, c)"))
    page = await pages.of_cache(collection, KIND, some, None, 2)
    assert (len(page.values), page.last) == (2, None)
    assert (await pages.of_cache(collection, KIND, some, None, 1)).last == Position("a", "b")
    page = await pages.of_cache(collection, KIND, Filter(), None, 3)
    assert (len(page.values), page.last, page.remaining) == (3, None, None)
    records = [Record(f"/registry/core/configmaps/a/{name}", b'{"metadata":{}}', 3) for name in "bc"]
    assert (await pages.of_store(records, Filter(), 2, more=False)).last is None
    assert (await pages.of_store(records, Filter(), 2, more=True)).last == Position("a", "c")


async def test_a_page_of_what_has_no_namespace_ends_at_a_name() -> None:
    records = [Record(f"/registry/core/nodes/n{number}", b'{"metadata":{}}', number + 1) for number in range(2)]
    page = await pages.of_store(records, Filter(), 2, more=True)
    assert (len(page.values), page.last) == (2, Position("", "n1"))
    labelled = Filter(fields=parse_field_selector("metadata.name=n1"))
    assert (await pages.of_store(records, labelled, 0, more=False)).values == [codec.stamp(b'{"metadata":{}}', 2)]
