"""The watch cache: ordered, fresh, and its watchers see exactly what a list would."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.resources import CONFIGMAPS, NODES, PODS
from orchestrator.api.selectors import parse_field_selector, parse_label_selector
from orchestrator.server.watch_cache import Collection, WatchCache, key_of, prefix_of
from orchestrator.server.watches import (
    PLAIN,
    Filter,
    Form,
    Progress,
    Shape,
    Side,
    Taken,
    TooSlow,
    Watcher,
    restamp,
    revision_of,
)
from orchestrator.store.base import Delete, Put
from orchestrator.store.memory import MemoryStore


def stored(name: str, namespace: str = "default", node: str = "", **labels: str) -> bytes:
    obj: dict[str, Any] = {"metadata": {"name": name, "namespace": namespace, "labels": labels}}
    if node:
        obj["spec"] = {"nodeName": node}
    return codec.encode_unstamped(obj)


async def put(store: MemoryStore, name: str, namespace: str = "default", node: str = "", **labels: str) -> int:
    key = key_of(PODS, namespace, name)
    return await store.put(key, stored(name, namespace, node, **labels), expect_revision=None)


def fields_of(obj: dict[str, Any]) -> dict[str, str]:
    return {"spec.nodeName": obj.get("spec", {}).get("nodeName", "")}


async def a_cache(store: MemoryStore) -> tuple[WatchCache, asyncio.Task[None]]:
    cache = WatchCache(store)
    await cache.start()
    return cache, asyncio.get_running_loop().create_task(cache.run())


def test_keys() -> None:
    assert key_of(PODS, "a", "b") == "/registry/core/pods/a/b"
    assert key_of(NODES, "", "n") == "/registry/core/nodes/n"
    assert prefix_of(PODS, "a") == "/registry/core/pods/a/"
    assert prefix_of(PODS) == "/registry/core/pods/"


def test_stamps() -> None:
    value = codec.stamp(stored("a"), 17)
    assert revision_of(value) == 17
    assert revision_of(restamp(value, 170_000)) == 170_000
    assert codec.decode(restamp(value, 170_000))["metadata"]["name"] == "a"


async def test_lists_are_in_the_store_s_order() -> None:
    store = MemoryStore()
    await put(store, "z", "a")
    cache, running = await a_cache(store)
    for namespace, name in (("a-b", "x"), ("a", "m"), ("b", "q"), ("a", "a"), ("a", "zz")):
        await put(store, name, namespace)
    await cache.wait_fresh()
    names = [json.loads(value)["metadata"] for value in cache.list(PODS)]
    keys = [key_of(PODS, meta["namespace"], meta["name"]) for meta in names]
    listing = await store.list(prefix_of(PODS))
    assert keys == [record.key for record in listing.records]
    assert [json.loads(value)["metadata"]["name"] for value in cache.list(PODS, "a")] == ["a", "m", "z", "zz"]
    running.cancel()


async def test_a_read_after_an_acknowledged_write_sees_it() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    for number in range(100):
        revision = await put(store, "p", node=f"n{number}")
        await cache.wait_fresh()
        value = cache.get(PODS, "default", "p")
        assert value is not None
        assert revision_of(value) == revision
    running.cancel()


async def test_pods_are_found_by_their_node() -> None:
    store = MemoryStore()
    await put(store, "old", node="n1")
    cache, running = await a_cache(store)
    await put(store, "a", node="n1")
    await put(store, "b")
    await put(store, "b", node="n2")
    await store.delete(key_of(PODS, "default", "old"), expect_revision=None)
    await cache.wait_fresh()

    def on(node: str) -> list[str]:
        return [json.loads(value)["metadata"]["name"] for value in cache.by_index(PODS, "spec.nodeName", node)]

    assert (on("n1"), on("n2"), on("n3")) == (["a"], ["b"], [])
    running.cancel()


async def test_what_an_index_finds_is_in_the_order_of_a_list() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    for namespace, name in (("a", "x"), ("a-b", "y"), ("a", "b")):
        await put(store, name, namespace, node="n1")
    await cache.wait_fresh()
    assert cache.by_index(PODS, "spec.nodeName", "n1") == cache.list(PODS)
    running.cancel()


def test_a_window_that_forgets_says_from_where_on_it_knows_everything() -> None:
    collection = Collection(progress=Progress(1), window_start=1)
    value = b'{"metadata":{"resourceVersion":"%d","name":"a"},"x":"' + b"x" * (1 << 20) + b'"}'
    for revision in range(2, 30):
        collection.apply("default", "a", value.replace(b"%d", b"%d" % revision), revision)
    assert collection.window_start > 1
    for revision in range(1, 31):
        events = collection.since(revision)
        known = None if events is None else [event.revision for event in events]
        assert known == (None if revision < collection.window_start else list(range(revision + 1, 30)))
    assert collection.since(29) == []


async def test_a_window_too_old_is_said_to_be() -> None:
    store = MemoryStore()
    await store.compact(await put(store, "a"))
    cache, running = await a_cache(store)
    collection = cache.collection(PODS)
    assert collection.since(0) is None
    assert collection.since(1) == []
    await put(store, "b")
    await cache.wait_fresh()
    events = collection.since(1)
    assert events is not None
    assert [(event.type, event.name) for event in events] == [("ADDED", "b")]
    running.cancel()


async def test_listeners_are_told_old_and_new() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    heard: list[tuple[bool, bool]] = []
    cache.subscribe(PODS, lambda old, new: heard.append((old is not None, new is not None)))
    await put(store, "a")
    await put(store, "a", x="y")
    await store.delete(key_of(PODS, "default", "a"), expect_revision=None)
    await cache.wait_fresh()
    assert heard == [(False, True), (True, True), (True, False)]
    running.cancel()


async def test_a_watcher_that_does_not_read_is_cut_off() -> None:
    watcher = Watcher(Filter(), PLAIN, Progress(7))
    for _ in range(20):
        watcher.offer(b"x" * (1 << 20))
    with pytest.raises(TooSlow):  # and not a revision as of which it would have nothing left to hear
        watcher.take()


async def test_what_a_watcher_takes_is_all_up_to_the_revision_that_comes_with_it() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    watchers = cache.collection(PODS).watchers
    everything, one_node = (watchers.join(filter_, PLAIN) for filter_ in (FILTERS[0], FILTERS[4]))
    taken: list[tuple[int, int]] = []

    def take_midway(old: bytes | None, new: bytes | None) -> None:
        taken.append((len(everything.take().lines), everything.take().revision))

    cache.subscribe(PODS, take_midway)
    first = await put(store, "a", node="n2")
    second = await put(store, "b", node="n2")
    await cache.wait_fresh()
    # Asked amid a batch, a watcher has been offered more than it answers for, never less.
    assert [lines for lines, _ in taken] == [1, 1]
    assert all(revision < offered for (_, revision), offered in zip(taken, (first, second), strict=True))
    assert everything.take() == Taken([], second)
    # What does not concern it moves a watcher on all the same.
    assert one_node.take() == Taken([], second)
    other = await store.put("/registry/core/configmaps/default/c", stored("c"), expect_revision=None)
    await cache.wait_fresh()
    assert one_node.take() == Taken([], other)
    running.cancel()


async def test_an_event_is_encoded_once_for_all_of_one_form() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    encoded: list[bytes] = []

    def encode(value: bytes) -> bytes:
        encoded.append(value)
        return value

    form = Form(("counted",), Shape.OBJECT, encode)
    joined = cache.collection(PODS).watchers
    watchers = [joined.join(Filter(namespace=namespace), form) for namespace in ("", "default", "default", "other")]
    await put(store, "a")
    await cache.wait_fresh()
    assert len(encoded) == 1
    assert watchers[0].take() == watchers[2].take()
    for watcher in watchers:
        cache.collection(PODS).watchers.remove(watcher)
        cache.collection(PODS).watchers.remove(watcher)
    assert len(cache.collection(PODS).watchers) == 0
    running.cancel()


FILTERS = [
    Filter(),
    Filter(namespace="a"),
    Filter(labels=parse_label_selector("x=1")),
    Filter(namespace="a", labels=parse_label_selector("x!=1")),
    Filter(fields=parse_field_selector("spec.nodeName=n1"), fields_of=fields_of),
    Filter(fields=parse_field_selector("spec.nodeName="), fields_of=fields_of),
    Filter(fields=parse_field_selector("metadata.name=p1"), fields_of=fields_of),
    Filter(namespace="b", fields=parse_field_selector("metadata.name=p1"), fields_of=fields_of),
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["", "n1", "n2"]),
        st.sampled_from(["1", "2"]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whoever_applies_a_watch_s_events_has_what_a_list_shows(steps: list[tuple[str, str, str, str, str]]) -> None:
    async def check() -> None:
        store = MemoryStore()
        cache, running = await a_cache(store)
        collection = cache.collection(PODS)
        watchers = [collection.watchers.join(filter_, PLAIN) for filter_ in FILTERS]
        for operation, namespace, name, node, label in steps:
            if operation == "put":
                await put(store, name, namespace, node, x=label)
            elif await store.get(key_of(PODS, namespace, name)):
                await store.delete(key_of(PODS, namespace, name), expect_revision=None)
        await cache.wait_fresh()
        for watcher in watchers:
            watcher.offer(b'{"type":"END"}\n')
            held: dict[tuple[str, str], Any] = {}
            newest = 0
            for line in watcher.take().lines:
                event = json.loads(line)
                if event["type"] == "END":
                    break
                meta = event["object"]["metadata"]
                key = (meta["namespace"], meta["name"])
                assert int(meta["resourceVersion"]) > newest
                newest = int(meta["resourceVersion"])
                # Each event says what it does to what the watcher has.
                assert (event["type"] == "ADDED") == (key not in held)
                if event["type"] == "DELETED":
                    del held[key]
                else:
                    held[key] = event["object"]
            sides = [Side(*item) for item in collection.items()]
            listed = [json.loads(side.value) for side in sides if watcher.filter.matches(side)]
            assert {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in listed} == held
        running.cancel()

    asyncio.run(check())


async def test_a_cache_of_many_kinds_keeps_them_apart() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    await put(store, "same")
    await store.put(key_of(CONFIGMAPS, "default", "same"), stored("same"), expect_revision=0)
    await cache.wait_fresh()
    assert (len(cache.collection(PODS)), len(cache.collection(CONFIGMAPS))) == (1, 1)
    assert sorted(name for name, _ in cache.collections()) == ["configmaps", "pods"]
    running.cancel()


async def test_a_revision_that_never_comes_leaves_nothing_behind_when_its_client_gives_up() -> None:
    store = MemoryStore()
    cache, running = await a_cache(store)
    for number in range(20):
        waiting = asyncio.ensure_future(cache.wait(10**15 + number))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert cache._waiting == []
    running.cancel()


async def test_a_commit_to_several_collections_is_seen_as_one() -> None:
    store = MemoryStore()
    await put(store, "p")
    cache, running = await a_cache(store)
    pod, config = key_of(PODS, "default", "p"), key_of(CONFIGMAPS, "default", "c")
    revision = await store.commit((Delete(pod), Put(config, stored("c"))), {config: 0})
    assert await cache.wait_fresh()
    assert not await cache.wait_fresh()
    assert cache.get(PODS, "default", "p") is None
    assert revision_of(cache.get(CONFIGMAPS, "default", "c") or b"") == revision
    events = cache.collection(PODS).since(revision - 1)
    assert events is not None
    assert [(event.type, revision_of(event.value)) for event in events] == [("DELETED", revision)]
    running.cancel()


async def test_a_cache_that_starts_anew_has_the_events_that_the_store_remembers() -> None:
    store = MemoryStore()
    first = await put(store, "a")
    await put(store, "gone", x="1")
    cut = await put(store, "a", x="2")
    await store.compact(cut)
    changed = await put(store, "a", x="3")
    removed = await store.delete(key_of(PODS, "default", "gone"), expect_revision=None)
    last = await store.put(key_of(CONFIGMAPS, "default", "c"), stored("c"), expect_revision=0)
    cache = WatchCache(store)
    assert cache.failure() == "not loaded yet"
    await cache.start()
    assert cache.failure() is None
    assert cache.revision == last
    pods = cache.collection(PODS)
    events = pods.since(cut)
    assert events is not None
    assert [(event.type, event.name, event.revision) for event in events] == [
        ("MODIFIED", "a", changed),
        ("DELETED", "gone", removed),
    ]
    assert codec.decode(events[0].old or b"")["metadata"]["labels"] == {"x": "2"}
    assert pods.since(first) is None, "what was compacted is not made up"
    assert [codec.decode(value)["metadata"]["labels"] for value in cache.list(PODS)] == [{"x": "3"}]
    assert cache.collection(NODES).since(cut) == [], "nothing happened to what nobody has heard of"
    # The same as the first cache had seen live.
    assert pods.since(changed) == events[1:]


async def test_a_resource_that_comes_back_has_no_hole_in_its_window() -> None:
    store = MemoryStore()
    before = await put(store, "a")
    cache, running = await a_cache(store)
    await store.put(key_of(CONFIGMAPS, "default", "c"), stored("c"), expect_revision=0)
    gone = await store.delete(key_of(CONFIGMAPS, "default", "c"), expect_revision=None)
    await cache.wait_fresh()
    cache.forget(CONFIGMAPS)
    assert cache.collection(CONFIGMAPS).since(before) is None
    assert cache.collection(CONFIGMAPS).since(gone) == []
    running.cancel()
