"""The promises of `orchestrator/store/base.py`, held by every store."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.machinery.clock import SystemClock
from orchestrator.store.base import (
    OPERATIONS_MAX,
    Change,
    Compacted,
    Delete,
    FutureRevision,
    Put,
    Record,
    RevisionMismatch,
    Store,
    collection_of,
)
from orchestrator.store.history import PENDING_MAX, READ_MAX
from orchestrator.store.memory import MemoryStore
from orchestrator.store.sqlite import open_sqlite
from orchestrator.store.transform import Identity, TransformedStore


@asynccontextmanager
async def a_memory_store() -> AsyncIterator[Store]:
    store = MemoryStore()
    yield store
    await store.close()


@asynccontextmanager
async def a_sqlite_store() -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_sqlite(Path(folder) / "wherry.db", clock=SystemClock())
        yield store
        await store.close()


class Backwards:
    """Keeps values as nobody could read them, each bound to its key."""

    def seal(self, key: str, value: bytes) -> bytes:
        return key.encode() + value[::-1]

    def unseal(self, key: str, kept: bytes) -> bytes:
        assert kept.startswith(key.encode())
        return kept[len(key.encode()) :][::-1]


@asynccontextmanager
async def a_transformed_memory_store() -> AsyncIterator[Store]:
    async with a_memory_store() as store:
        yield TransformedStore(store, Identity())


@asynccontextmanager
async def a_transformed_sqlite_store() -> AsyncIterator[Store]:
    async with a_sqlite_store() as store:
        yield TransformedStore(store, Backwards())


STORES = [
    pytest.param(a_memory_store, id="memory"),
    pytest.param(a_sqlite_store, id="sqlite"),
    pytest.param(a_transformed_memory_store, id="memory-as-it-is"),
    pytest.param(a_transformed_sqlite_store, id="sqlite-transformed"),
]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(request.param())


async def take(store: Store, prefix: str, from_revision: int, count: int) -> list[Change]:
    """The next `count` changes of a watch of its own."""
    found: list[Change] = []
    async with asyncio.timeout(20), aclosing(store.watch(prefix, from_revision=from_revision)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            found.extend(batch.changes)
            if len(found) >= count:
                break
    return found


async def test_what_was_put_is_read_back_with_the_revision_of_its_write(store: Store) -> None:
    revision = await store.put("/a/1", b"one", expect_revision=0)
    assert await store.get("/a/1") == Record("/a/1", b"one", revision)
    assert await store.newest_revision() == revision
    assert await store.get("/a/2") is None


async def test_revisions_are_one_sequence_over_all_keys(store: Store) -> None:
    revisions = [await store.put(f"/{name}/x", b"v", expect_revision=None) for name in "abc"]
    revisions.append(await store.delete("/b/x", expect_revision=None))
    assert revisions == list(range(revisions[0], revisions[0] + 4))


async def test_a_put_must_expect_what_is_there(store: Store) -> None:
    first = await store.put("/k", b"1", expect_revision=0)
    with pytest.raises(RevisionMismatch) as exists:
        await store.put("/k", b"2", expect_revision=0)
    assert exists.value.actual == Record("/k", b"1", first)
    second = await store.put("/k", b"2", expect_revision=first)
    with pytest.raises(RevisionMismatch):
        await store.put("/k", b"3", expect_revision=first)
    third = await store.put("/k", b"3", expect_revision=None)
    assert third > second
    assert await store.get("/k") == Record("/k", b"3", third)


async def test_a_deletion_must_expect_what_is_there(store: Store) -> None:
    first = await store.put("/k", b"1", expect_revision=0)
    with pytest.raises(RevisionMismatch):
        await store.delete("/k", expect_revision=first + 1)
    await store.delete("/k", expect_revision=first)
    assert await store.get("/k") is None
    for expected in (None, first):
        with pytest.raises(RevisionMismatch) as gone:
            await store.delete("/k", expect_revision=expected)
        assert gone.value.actual is None
    with pytest.raises(RevisionMismatch):
        await store.put("/k", b"2", expect_revision=first)
    assert await store.put("/k", b"2", expect_revision=0) > first


async def test_of_many_writers_that_expect_the_same_one_wins(store: Store) -> None:
    first = await store.put("/k", b"0", expect_revision=0)
    results = await asyncio.gather(
        *(store.put("/k", b"%d" % number, expect_revision=first) for number in range(50)), return_exceptions=True
    )
    winners = [number for number, result in enumerate(results) if isinstance(result, int)]
    assert len(winners) == 1
    assert all(isinstance(result, (int, RevisionMismatch)) for result in results)
    record = await store.get("/k")
    assert record is not None
    assert record.value == b"%d" % winners[0]
    losers = [result for result in results if isinstance(result, RevisionMismatch)]
    assert all(loser.actual == record for loser in losers)


async def test_a_commit_of_several_keys_is_one_revision(store: Store) -> None:
    old = await store.put("/registry/core/services/d/a", b"old", expect_revision=0)
    gone = await store.put("/registry/core/endpoints/d/a", b"gone", expect_revision=0)
    revision = await store.commit(
        (
            Put("/registry/core/services/d/a", b"new"),
            Put("/registry/networking.k8s.io/ipaddresses/10.96.0.7", b"a"),
            Delete("/registry/core/endpoints/d/a"),
        ),
        {
            "/registry/core/services/d/a": old,
            "/registry/networking.k8s.io/ipaddresses/10.96.0.7": 0,
            "/registry/core/endpoints/d/a": gone,
        },
    )
    assert revision == await store.newest_revision() == gone + 1
    assert (await store.list("/")).records == (
        Record("/registry/core/services/d/a", b"new", revision),
        Record("/registry/networking.k8s.io/ipaddresses/10.96.0.7", b"a", revision),
    )
    assert await take(store, "/", gone, 3) == [
        Change("/registry/core/services/d/a", b"new", revision),
        Change("/registry/networking.k8s.io/ipaddresses/10.96.0.7", b"a", revision),
        Change("/registry/core/endpoints/d/a", None, revision),
    ]
    assert (await store.list("/", at_revision=gone)).records == (
        Record("/registry/core/endpoints/d/a", b"gone", gone),
        Record("/registry/core/services/d/a", b"old", old),
    )


async def test_a_commit_may_expect_something_of_keys_it_does_not_write(store: Store) -> None:
    namespace = await store.put("/registry/core/namespaces/n", b"1", expect_revision=0)
    pod = "/registry/core/pods/n/p"
    assert await store.commit((Put(pod, b"1"),), {"/registry/core/namespaces/n": namespace, "/elsewhere": 0})
    changed = await store.put("/registry/core/namespaces/n", b"2", expect_revision=namespace)
    with pytest.raises(RevisionMismatch) as mismatch:
        await store.commit((Put(pod, b"2"),), {pod: changed - 1, "/registry/core/namespaces/n": namespace})
    assert mismatch.value.key == "/registry/core/namespaces/n"
    assert mismatch.value.actual == Record("/registry/core/namespaces/n", b"2", changed)
    record = await store.get(pod)
    assert record is not None
    assert record.value == b"1"


@pytest.mark.parametrize(
    ("operations", "expectations"),
    [
        pytest.param((Put("/a", b"x"), Put("/b", b"x")), {"/b": 7}, id="an-expectation-fails"),
        pytest.param((Put("/a", b"x"), Delete("/missing")), {}, id="a-deletion-finds-nothing"),
        pytest.param((Delete("/a"), Delete("/missing")), {}, id="after-a-deletion-that-would-work"),
    ],
)
async def test_a_commit_that_cannot_be_whole_leaves_nothing(store: Store, operations: Any, expectations: Any) -> None:
    first = await store.put("/a", b"1", expect_revision=0)
    with pytest.raises(RevisionMismatch) as mismatch:
        await store.commit(operations, expectations)
    assert mismatch.value.actual is None
    assert await store.newest_revision() == first
    assert (await store.list("/")).records == (Record("/a", b"1", first),)
    assert await store.put("/a", b"2", expect_revision=first) == first + 1


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param((), id="none"),
        pytest.param((Put("/a", b"1"), Put("/a", b"2")), id="one-key-twice"),
        pytest.param((Put("/r/g/pods/n/a", b"1"), Delete("/r/g/pods/m/b")), id="one-collection-twice"),
        pytest.param(tuple(Put(f"/{number}", b"1") for number in range(OPERATIONS_MAX + 1)), id="too-many"),
    ],
)
async def test_no_collection_changes_twice_at_one_revision(store: Store, operations: Any) -> None:
    with pytest.raises(ValueError, match="cannot commit"):
        await store.commit(operations, {})
    assert await store.newest_revision() == 0


def test_a_key_s_collection_is_its_group_and_resource() -> None:
    assert collection_of("/registry/core/pods/n/p") == collection_of("/registry/core/pods/m/q") == "/registry/core/pods"
    assert collection_of("/registry/core/nodes/n") == "/registry/core/nodes"
    assert collection_of("/short") == "/short"


async def test_of_commits_that_share_a_key_each_sees_the_other_whole(store: Store) -> None:
    async def claim(name: str) -> int:
        return await store.commit((Put(f"/{name}", b"v"), Put("/claimed/by", name.encode())), {"/claimed/by": 0})

    results = await asyncio.gather(*(claim(f"n{number}") for number in range(20)), return_exceptions=True)
    winners = [number for number, result in enumerate(results) if isinstance(result, int)]
    assert len(winners) == 1
    assert [record.key for record in (await store.list("/")).records] == ["/claimed/by", f"/n{winners[0]}"]


@pytest.mark.parametrize("behind", [False, True], ids=["as-it-happens", "from-history"])
async def test_a_watch_never_delivers_a_part_of_a_commit(store: Store, behind: bool) -> None:
    each = 7  # no divisor of what one read of the history brings
    commits = READ_MAX // each + 20

    async def write() -> None:
        for _ in range(commits):
            await store.commit(tuple(Put(f"/{one}", b"v") for one in range(each)), {})

    if behind:
        await write()
    seen: list[int] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        if not behind:
            group.create_task(write())
        async with aclosing(store.watch("/", from_revision=0)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                revisions = [change.revision for change in batch.changes]
                assert {revisions.count(one) for one in revisions} <= {each}
                assert all(revision <= batch.revision for revision in revisions)
                seen += revisions
                if len(seen) == commits * each:
                    break
    assert seen == sorted(seen)


async def test_a_quiet_collection_s_watch_tells_how_far_it_has_come(store: Store) -> None:
    await store.put("/quiet/a", b"v", expect_revision=0)
    async with asyncio.timeout(20), aclosing(store.watch("/quiet/", from_revision=0)) as batches:  # type: ignore[type-var]
        assert len((await anext(batches)).changes) == 1
        for number in range(3):
            written = await store.put(f"/busy/{number}", b"v", expect_revision=0)
            progress = await anext(batches)
            assert (list(progress.changes), progress.revision) == ([], written)
    async with asyncio.timeout(20), aclosing(store.watch("/nothing/", from_revision=0)) as batches:  # type: ignore[type-var]
        assert (await anext(batches)).revision == written


async def test_before_the_first_commit_there_was_nothing(store: Store) -> None:
    assert await store.newest_revision() == 0
    await store.put("/a", b"1", expect_revision=0)
    assert (await store.list("/", at_revision=0)).records == ()


async def test_counting_by_compare_and_swap_loses_nothing(store: Store) -> None:
    await store.put("/count", b"0", expect_revision=0)

    async def count() -> None:
        for _ in range(20):
            while True:
                record = await store.get("/count")
                assert record is not None
                try:
                    await store.put("/count", b"%d" % (int(record.value) + 1), expect_revision=record.revision)
                    break
                except RevisionMismatch:
                    continue

    await asyncio.gather(*(count() for _ in range(4)))
    record = await store.get("/count")
    assert record is not None
    assert record.value == b"80"


async def test_a_list_is_in_key_order_and_knows_its_prefix(store: Store) -> None:
    for key in ("/b/2", "/a/2", "/a-b/1", "/a/10", "/a/1", "/ab/1"):
        await store.put(key, key.encode(), expect_revision=0)
    listing = await store.list("/a/")
    assert [record.key for record in listing.records] == ["/a/1", "/a/10", "/a/2"]
    assert listing.revision == await store.newest_revision()
    assert not listing.more


async def test_pages_of_a_list_show_one_snapshot(store: Store) -> None:
    for number in range(10):
        await store.put(f"/p/{number}", b"old", expect_revision=0)
    pages: list[Record] = []
    page = await store.list("/p/", limit=3)
    snapshot = page.revision
    while True:
        pages.extend(page.records)
        if not page.more:
            break
        await store.put("/p/5", b"new", expect_revision=None)
        await store.put(f"/p/{len(pages)}x", b"new", expect_revision=None)
        if len(pages) == 3:
            await store.delete("/p/7", expect_revision=None)
        page = await store.list("/p/", at_revision=snapshot, after_key=pages[-1].key, limit=3)
        assert page.revision == snapshot
    assert [record.key for record in pages] == [f"/p/{number}" for number in range(10)]
    assert {record.value for record in pages} == {b"old"}


async def test_a_watch_delivers_history_then_live_changes_without_gap(store: Store) -> None:
    first = await store.put("/w/a", b"1", expect_revision=0)
    second = await store.put("/w/a", b"2", expect_revision=first)
    await store.put("/other", b"x", expect_revision=0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        watching = group.create_task(take(store, "/w/", 0, 4))
        await asyncio.sleep(0)
        third = await store.delete("/w/a", expect_revision=second)
        fourth = await store.put("/w/a", b"4", expect_revision=0)
    assert watching.result() == [
        Change("/w/a", b"1", first),
        Change("/w/a", b"2", second),
        Change("/w/a", None, third),
        Change("/w/a", b"4", fourth),
    ]
    assert await take(store, "/w/", second, 2) == watching.result()[2:]


async def test_every_watch_sees_every_change_once_in_order_while_many_write(store: Store) -> None:
    async def write(writer: int) -> None:
        for number in range(40):
            await store.put(f"/s/{writer}/{number}", b"v", expect_revision=0)

    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(take(store, "/s/", 0, 400)) for _ in range(3)]
        for writer in range(10):
            group.create_task(write(writer))
    for watch in watching:
        revisions = [change.revision for change in watch.result()]
        assert revisions == sorted(set(revisions))
        assert len(revisions) == 400


async def test_a_watch_that_falls_far_behind_still_sees_everything(store: Store) -> None:
    await store.put("/f/first", b"v", expect_revision=0)
    count = PENDING_MAX + 500
    seen: list[Change] = []
    async with asyncio.timeout(60), aclosing(store.watch("/f/", from_revision=0)) as batches:  # type: ignore[type-var]
        seen.extend((await anext(batches)).changes)
        await asyncio.gather(*(store.put(f"/f/{number}", b"v", expect_revision=0) for number in range(count)))
        while len(seen) < count + 1:
            seen.extend((await anext(batches)).changes)
    revisions = [change.revision for change in seen]
    assert revisions == sorted(set(revisions))
    assert len({change.key for change in seen}) == count + 1


async def test_compaction_forgets_history_and_keeps_the_newest_values(store: Store) -> None:
    first = await store.put("/c/a", b"1", expect_revision=0)
    await store.put("/c/a", b"2", expect_revision=first)
    await store.put("/c/gone", b"x", expect_revision=0)
    await store.delete("/c/gone", expect_revision=None)
    cut = await store.put("/c/b", b"1", expect_revision=0)
    last = await store.put("/c/b", b"2", expect_revision=cut)
    await store.compact(cut)
    with pytest.raises(Compacted) as compacted:
        await store.list("/c/", at_revision=cut - 1)
    assert compacted.value.oldest == cut
    with pytest.raises(Compacted):
        await take(store, "/c/", first, 1)
    at_cut = await store.list("/c/", at_revision=cut)
    assert [(record.key, record.value) for record in at_cut.records] == [("/c/a", b"2"), ("/c/b", b"1")]
    assert await take(store, "/c/", cut, 1) == [Change("/c/b", b"2", last)]
    with pytest.raises(FutureRevision):
        await store.compact(last + 1)


async def test_writes_go_on_while_a_compaction_runs(store: Store) -> None:
    for number in range(2000 // 50):
        await asyncio.gather(*(store.put(f"/k/{one}", b"v%d" % number, expect_revision=None) for one in range(50)))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(store.compact(await store.newest_revision()))
        for number in range(20):
            await store.put(f"/during/{number}", b"v", expect_revision=0)
    assert len((await store.list("/k/")).records) == 50
    assert len((await store.list("/during/")).records) == 20


async def test_the_future_cannot_be_read(store: Store) -> None:
    revision = await store.put("/a", b"1", expect_revision=0)
    with pytest.raises(FutureRevision):
        await store.list("/", at_revision=revision + 1)
    with pytest.raises(FutureRevision):
        await take(store, "/", revision + 1, 1)


async def test_a_cancelled_writer_neither_undoes_nor_stops_anything(store: Store) -> None:
    task = asyncio.ensure_future(store.put("/a", b"1", expect_revision=0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    after = await store.put("/b", b"2", expect_revision=0)
    listing = await store.list("/")
    assert listing.revision == after
    assert [record.key for record in listing.records] == ["/a", "/b"]


async def test_closing_ends_a_watch() -> None:
    for make in (a_memory_store, a_sqlite_store):
        async with make() as store:
            await store.put("/a", b"1", expect_revision=0)
            watching = asyncio.ensure_future(take(store, "/", 0, 2))
            for _ in range(20):
                await asyncio.sleep(0)
            await store.close() if make is a_memory_store else None
        async with asyncio.timeout(5):
            assert len(await watching) == 1


class Twin:
    """The dumb twin: every snapshot there ever was, kept whole."""

    def __init__(self) -> None:
        self.snapshots: list[dict[str, Record]] = [{}]

    def write(self, written: Mapping[str, bytes | None]) -> None:
        snapshot = dict(self.snapshots[-1])
        for key, value in written.items():
            if value is None:
                del snapshot[key]
            else:
                snapshot[key] = Record(key, value, len(self.snapshots))
        self.snapshots.append(snapshot)


KEYS = st.sampled_from(["/a", "/a/1", "/a/2", "/a/é", "/b/1"])
#: What becomes of a key, and what is expected of it.
PARTS = st.tuples(st.one_of(st.none(), st.binary(max_size=3)), st.sampled_from(["new", "match", "any"]))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.dictionaries(KEYS, PARTS, min_size=1, max_size=3)),
        st.tuples(st.just("compact"), st.integers(0, 5)),
    ),
    max_size=25,
)


async def follow(operations: Sequence[tuple[str, Any]], store: Store) -> tuple[Twin, int]:
    """Do the same to the store and to its twin; the store must refuse exactly what the twin says it must."""
    twin, compacted = Twin(), 0
    for operation, what in operations:
        if operation == "compact":
            cut = max(0, await store.newest_revision() - what)
            compacted = max(compacted, cut)
            await store.compact(cut)
            continue
        there = twin.snapshots[-1]
        held = {key: there[key].revision if key in there else 0 for key in what}
        expectations = {key: 0 if how == "new" else held[key] or 99 for key, (_, how) in what.items() if how != "any"}
        refused = any(held[key] != expected for key, expected in expectations.items())
        refused = refused or any(value is None and not held[key] for key, (value, _) in what.items())
        parts = [Delete(key) if value is None else Put(key, value) for key, (value, _) in what.items()]
        try:
            revision = await store.commit(parts, expectations)
        except RevisionMismatch as refusal:
            outcome = (True, refusal.actual == there.get(refusal.key))
        else:
            outcome = (False, True)
            twin.write({key: value for key, (value, _) in what.items()})
            assert revision == len(twin.snapshots) - 1
        assert outcome == (refused, True)
    return twin, compacted


@pytest.mark.parametrize("make", STORES)
@settings(max_examples=40, deadline=None)
@given(operations=OPERATIONS, limit=st.integers(0, 3))
def test_any_history_reads_as_the_dumb_twin_remembers_it(
    make: Callable[[], Any], operations: Sequence[tuple[str, Any]], limit: int
) -> None:
    async def check() -> None:
        async with make() as store:
            twin, compacted = await follow(operations, store)
            for revision, snapshot in enumerate(twin.snapshots):
                for prefix in ("/", "/a", "/a/"):
                    wanted = [snapshot[key] for key in sorted(snapshot) if key.startswith(prefix)]
                    if revision < compacted:
                        with pytest.raises(Compacted):
                            await store.list(prefix, at_revision=revision)
                        continue
                    page = await store.list(prefix, at_revision=revision, limit=limit)
                    found = list(page.records)
                    while page.more:
                        page = await store.list(prefix, at_revision=revision, after_key=found[-1].key, limit=limit)
                        found.extend(page.records)
                    assert found == wanted
            if await store.newest_revision() > compacted:
                rebuilt = dict(twin.snapshots[compacted])
                async with aclosing(store.watch("/", from_revision=compacted)) as batches:  # type: ignore[type-var]
                    batch = await anext(batches)
                assert batch.revision == await store.newest_revision()
                for number, change in enumerate(batch.changes, 1):
                    if change.value is None:
                        del rebuilt[change.key]
                    else:
                        rebuilt[change.key] = Record(change.key, change.value, change.revision)
                    if number == len(batch.changes) or batch.changes[number].revision > change.revision:
                        assert rebuilt == twin.snapshots[change.revision]

    asyncio.run(check())
