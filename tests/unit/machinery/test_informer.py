"""The informer's cache: what lists and events do to it, to its indexes and to its subscribers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import cast

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from orchestrator.api import codec
from orchestrator.api.resources import PODS
from orchestrator.api.views.meta import MetaView, ObjectMeta
from orchestrator.machinery.client import Client, Listing
from orchestrator.machinery.errors import BadRequest, GatewayTimeout, Gone, InternalError, Unreachable
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.machinery.watch_stream import WatchEvent


def an_informer() -> Informer[MetaView]:
    client = Client(ClientConfig(server="http://127.0.0.1:1"))
    return Informer(client, PODS, MetaView, indexes={"app": lambda pod: [pod.metadata.labels.get("app", "")]})


def a_pod(name: str, revision: int, app: str = "web") -> MetaView:
    meta = ObjectMeta(name=name, namespace="default", resource_version=str(revision), labels={"app": app})
    return MetaView(metadata=meta)


def an_event(type: str, pod: MetaView) -> WatchEvent:
    return WatchEvent(type, codec.encode(pod))


async def test_nothing_is_known_before_the_first_list() -> None:
    informer = an_informer()
    assert not informer.has_synced
    informer.replace([], 7)
    assert informer.has_synced
    assert informer.revision == 7


async def test_events_change_the_cache_and_its_indexes() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1)], 1)
    informer.apply(an_event("ADDED", a_pod("b", 2)))
    informer.apply(an_event("MODIFIED", a_pod("a", 3, app="db")))
    assert [pod.metadata.name for pod in informer.by_index("app", "web")] == ["b"]
    assert [pod.metadata.name for pod in informer.by_index("app", "db")] == ["a"]
    informer.apply(an_event("DELETED", a_pod("b", 4)))
    assert informer.by_index("app", "web") == ()
    assert informer.get("default/b") is None
    assert informer.revision == 4


async def test_a_bookmark_only_moves_the_revision() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1)], 1)
    informer.apply(WatchEvent("BOOKMARK", b'{"kind":"Pod","metadata":{"resourceVersion":"50"}}'))
    assert informer.revision == 50
    assert len(informer.values()) == 1


class RestartedServer:
    """A client's view of a server that answers, and is killed whenever a watch has begun; `lives` times."""

    def __init__(self, lives: int) -> None:
        self.lives = lives

    async def list(self, *_: object, **__: object) -> Listing[MetaView]:
        return Listing((), 1)

    async def watch(self, *_: object, **__: object) -> AsyncIterator[WatchEvent]:
        if not self.lives:
            raise asyncio.CancelledError
        self.lives -= 1
        yield an_event("ADDED", a_pod("a", 2))
        raise Unreachable("killed")


class Lowest(random.Random):
    """Dice that lengthen no delay."""

    def random(self) -> float:
        return 0.0


async def until_it_ends(server: RestartedServer | BarrenServer) -> None:
    informer = Informer(cast("Client", server), PODS, MetaView, dice=Lowest())
    with pytest.raises(asyncio.CancelledError):
        await informer.run()


@pytest.mark.looptime
async def test_delays_grow_with_failures_in_a_row_not_over_a_life(looptime: object) -> None:
    await until_it_ends(RestartedServer(8))
    assert looptime == pytest.approx(8 * 0.2)


class BarrenServer:
    """A client's view of a server whose lists succeed and whose watches tell nothing; a few events come in between."""

    def __init__(self, *, gone: bool, tells: Sequence[bool]) -> None:
        self.gone = gone
        self.tells = list(tells)

    async def list(self, *_: object, **__: object) -> Listing[MetaView]:
        return Listing((), 1)

    async def watch(self, *_: object, **__: object) -> AsyncIterator[WatchEvent]:
        if not self.tells:
            raise asyncio.CancelledError
        if self.tells.pop(0):
            yield an_event("ADDED", a_pod("a", 2))
        if self.gone:
            raise Gone("too old")


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "ended"])
@pytest.mark.looptime
async def test_watches_that_tell_nothing_are_asked_for_more_and_more_slowly(gone: bool, looptime: object) -> None:
    await until_it_ends(BarrenServer(gone=gone, tells=[False, False, False, False, True, False, True]))
    # The first costs no wait, the next ones 0.2, 0.4 and 0.8 s; what is told ends the row.
    assert looptime == pytest.approx(0.2 + 0.4 + 0.8)


class ServerFromBefore:
    """A client's view of a server that is behind what the client has seen, until it lists anew."""

    def __init__(self, refusal: Exception) -> None:
        self.refusal = refusal
        self.lists = 0

    async def list(self, *_: object, **__: object) -> Listing[MetaView]:
        self.lists += 1
        return Listing((), 9 if self.lists == 1 else 5)

    async def watch(self, *_: object, revision: int, **__: object) -> AsyncIterator[WatchEvent]:
        if revision > 5:
            raise self.refusal
        yield an_event("ADDED", a_pod("a", 6))
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    "refusal",
    [
        GatewayTimeout("Too large resource version: 9, current: 5"),
        InternalError("no"),
        BadRequest("cannot read the watch"),
    ],
    ids=["ahead-of-the-server", "failed", "unreadable"],
)
async def test_a_watch_that_cannot_go_on_from_where_it_is_begins_with_a_list(refusal: Exception) -> None:
    server = ServerFromBefore(refusal)
    informer = Informer(cast("Client", server), PODS, MetaView)
    came = asyncio.Event()
    informer.subscribe(lambda old, new: came.set())
    running = asyncio.ensure_future(informer.run())
    await asyncio.wait_for(came.wait(), 10)
    assert (informer.revision, server.lists) == (6, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_second_list_tells_only_what_differs() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1), a_pod("b", 1), a_pod("c", 1)], 1)
    seen: list[tuple[str | None, str | None]] = []
    informer.subscribe(
        lambda old, new: seen.append((old and old.metadata.resource_version, new and new.metadata.resource_version))
    )
    assert len(seen) == 3
    seen.clear()
    informer.replace([a_pod("a", 1), a_pod("b", 5), a_pod("d", 6)], 6)
    assert sorted(seen, key=str) == sorted([("1", None), ("1", "5"), (None, "6")], key=str)


def undecodable(name: str, revision: int, uid: str = "") -> bytes:
    """A pod's bytes that are no view: its labels are a number."""
    meta = {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(revision), "labels": 7}
    return codec.encode({"metadata": meta})


def failures(what: str) -> float:
    return REGISTRY.get_sample_value("wherry_informer_failures_total", {"resource": "pods", "what": what}) or 0.0


class OneList:
    """A client's view of a server that lists these objects and whose watch never tells anything."""

    def __init__(self, *items: bytes) -> None:
        self.items = tuple(msgspec.Raw(item) for item in items)

    async def list(self, *_: object, **__: object) -> Listing[msgspec.Raw]:
        return Listing(self.items, 9)

    async def watch(self, *_: object, **__: object) -> AsyncIterator[WatchEvent]:
        await asyncio.get_running_loop().create_future()
        yield an_event("ADDED", a_pod("never", 1))


async def test_a_list_with_an_object_that_cannot_be_decoded_brings_all_others() -> None:
    server = OneList(codec.encode(a_pod("a", 1)), undecodable("b", 2), b"[]", codec.encode(a_pod("c", 3)))
    informer = Informer(cast("Client", server), PODS, MetaView)
    before = failures("decode")
    running = asyncio.ensure_future(informer.run())
    await informer.wait_synced()
    assert {pod.metadata.name for pod in informer.values()} == {"a", "c"}
    assert informer.undecodable == {"default/b": "2"}
    assert failures("decode") == before + 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_object_that_cannot_be_decoded_keeps_the_view_that_there_was() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1)], 1)
    informer.apply(WatchEvent("MODIFIED", undecodable("a", 2)))
    kept = informer.get("default/a")
    assert kept is not None
    assert kept.metadata.resource_version == "1"
    assert informer.by_index("app", "web") == (kept,)
    assert informer.revision == 2
    assert informer.undecodable == {"default/a": "2"}
    assert informer.undecodable_uids == {""}
    informer.apply(an_event("MODIFIED", a_pod("a", 3)))
    assert informer.undecodable == {}


async def test_an_undecodable_namesake_does_not_keep_the_view_of_the_one_before() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1)], 1)
    informer.apply(WatchEvent("ADDED", undecodable("a", 2, uid="another")))
    assert informer.get("default/a") is None
    assert informer.undecodable_uids == {"another"}


async def test_an_object_that_could_not_be_decoded_is_gone_when_it_is_deleted() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1)], 1)
    informer.apply(WatchEvent("MODIFIED", undecodable("a", 2)))
    informer.apply(WatchEvent("DELETED", undecodable("a", 3)))
    assert informer.get("default/a") is None
    assert informer.undecodable == {}


async def test_what_cannot_be_decoded_is_logged_with_key_and_reason_once_a_revision() -> None:
    informer = an_informer()
    with structlog.testing.capture_logs() as lines:
        for revision in (2, 2, 3):
            informer.apply(WatchEvent("MODIFIED", undecodable("a", revision)))
    assert [(line["event"], line["key"], line["revision"]) for line in lines] == [
        ("informer.undecodable", "default/a", "2"),
        ("informer.undecodable", "default/a", "3"),
    ]
    assert "labels" in lines[0]["why"]


@pytest.mark.parametrize("type_", ["ADDED", "DELETED", "BOOKMARK", "MODIFIED"])
@pytest.mark.parametrize(
    "data", [b"7", b'{"metadata":7}', b'{"metadata":{"name":"a","resourceVersion":"x"}}'], ids=["7", "meta", "revision"]
)
async def test_an_event_that_names_nothing_is_counted_and_the_next_is_taken(type_: str, data: bytes) -> None:
    informer = an_informer()
    before = failures("decode")
    informer.apply(WatchEvent(type_, data))
    assert failures("decode") == before + 1
    informer.apply(an_event("ADDED", a_pod("a", 4)))
    assert informer.revision == 4


async def test_a_handler_that_raises_misses_that_object_and_stops_nobody() -> None:
    informer = an_informer()
    seen: list[str] = []

    def choosy(old: MetaView | None, new: MetaView | None) -> None:
        if new is not None and new.metadata.name == "poison":
            raise OverflowError("Python int too large to convert to C long")

    def note(old: MetaView | None, new: MetaView | None) -> None:
        seen.append(new.metadata.name if new is not None else "")

    before = failures("handle")
    informer.apply(an_event("ADDED", a_pod("poison", 1)))
    informer.subscribe(choosy)
    informer.subscribe(note)
    informer.apply(an_event("MODIFIED", a_pod("poison", 2)))
    informer.apply(an_event("ADDED", a_pod("a", 3)))
    assert seen == ["poison", "poison", "a"]
    assert failures("handle") == before + 2


async def test_what_cannot_be_made_smaller_is_held_as_it_came() -> None:
    def choosy(pod: MetaView) -> MetaView:
        if pod.metadata.name == "poison":
            raise TypeError("unhashable type: 'dict'")
        return pod

    informer = Informer(Client(ClientConfig(server="http://127.0.0.1:1")), PODS, MetaView, keep=choosy)
    before = failures("keep")
    informer.apply(an_event("ADDED", a_pod("poison", 1)))
    informer.apply(an_event("ADDED", a_pod("a", 2)))
    assert {pod.metadata.name for pod in informer.values()} == {"poison", "a"}
    assert failures("keep") == before + 1


async def test_an_index_that_raises_leaves_the_object_out_and_stops_nobody() -> None:
    client = Client(ClientConfig(server="http://127.0.0.1:1"))
    informer = Informer(client, PODS, MetaView, indexes={"app": lambda pod: [pod.metadata.labels["app"]]})
    unlabelled = MetaView(metadata=ObjectMeta(name="x", namespace="default", resource_version="1"))
    informer.apply(an_event("ADDED", unlabelled))
    informer.apply(an_event("ADDED", a_pod("a", 2)))
    assert [pod.metadata.name for pod in informer.by_index("app", "web")] == ["a"]
    informer.apply(an_event("DELETED", unlabelled))
    assert [pod.metadata.name for pod in informer.values()] == ["a"]


async def test_a_key_is_woken_when_the_cache_has_its_own_write() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1)], 1)
    woken: list[tuple[str, int]] = []
    for revision in (1, 3, 2):
        informer.wake_at(revision, lambda revision=revision: woken.append((str(revision), informer.revision)))  # type: ignore[misc]
    assert woken == [("1", 1)]
    informer.apply(an_event("MODIFIED", a_pod("a", 2)))
    informer.apply(WatchEvent("BOOKMARK", b'{"metadata":{"resourceVersion":"5"}}'))
    assert woken == [("1", 1), ("2", 2), ("3", 5)]


async def test_a_key_is_woken_when_the_object_it_deleted_terminates_or_goes() -> None:
    informer = an_informer()
    informer.replace([a_pod("a", 1), a_pod("b", 1)], 1)
    woken: list[str] = []
    for name in ("a", "b", "never-there"):
        informer.wake_when_leaving(f"default/{name}", "", lambda name=name: woken.append(name))  # type: ignore[misc]
    assert woken == ["never-there"]
    informer.apply(an_event("MODIFIED", a_pod("a", 2)))
    meta = ObjectMeta(name="a", namespace="default", resource_version="3", deletion_timestamp="2026-01-01T00:00:00Z")
    informer.apply(an_event("MODIFIED", MetaView(metadata=meta)))
    informer.apply(an_event("DELETED", a_pod("a", 4)))
    informer.apply(an_event("DELETED", a_pod("b", 5)))
    assert woken == ["never-there", "a", "b"]


async def test_a_wake_that_raises_does_not_keep_the_others_asleep() -> None:
    informer = an_informer()
    woken: list[int] = []

    def broken() -> None:
        raise KeyError("x")

    informer.wake_at(2, broken)
    informer.wake_at(2, lambda: woken.append(2))
    informer.apply(an_event("ADDED", a_pod("a", 2)))
    assert woken == [2]


@given(st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), st.integers(0, 4), st.integers(0, 2))))
def test_indexes_always_equal_a_full_search(steps: list[tuple[str, int, int]]) -> None:
    informer = an_informer()
    for revision, (kind, name, app) in enumerate(steps, start=1):
        informer.apply(an_event(kind, a_pod(f"p{name}", revision, app=f"app{app}")))
    for app in ("app0", "app1", "app2"):
        searched = {pod.metadata.key for pod in informer.values() if pod.metadata.labels["app"] == app}
        assert {pod.metadata.key for pod in informer.by_index("app", app)} == searched


class Pages:
    """A client's view of a server that lists in pages, and once more after its watch is gone."""

    def __init__(self, *lists: list[bytes], size: int = 2) -> None:
        self.lists, self.size, self.asked = list(lists), size, 0
        self.forgets, self.listed_again = asyncio.Event(), asyncio.Event()

    async def list(self, *_: object, limit: int = 0, continue_token: str = "", **__: object) -> Listing[msgspec.Raw]:
        assert limit > 0, "a list without a limit is one body, however large"
        self.asked += 1
        first = int(continue_token or 0)
        page = self.lists[0][first : first + self.size]
        rest = first + self.size < len(self.lists[0])
        # Only the first page's revision counts: the others are of the same snapshot.
        return Listing(tuple(map(msgspec.Raw, page)), 9 if first == 0 else 99, str(first + self.size) if rest else "")

    async def watch(self, *_: object, revision: int, **__: object) -> AsyncIterator[WatchEvent]:
        assert revision == 9
        if len(self.lists) == 1:
            self.listed_again.set()
            await asyncio.get_running_loop().create_future()
        await self.forgets.wait()
        self.lists.pop(0)
        yield an_event("BOOKMARK", a_pod("none", 9))
        raise Gone("too old")


async def test_a_list_comes_in_pages_of_one_snapshot_and_what_has_not_changed_stays_the_same_object() -> None:
    first = [codec.encode(a_pod(name, number)) for number, name in enumerate("abcde", 1)]
    server = Pages(first, [codec.encode(a_pod("a", 1)), undecodable("b", 7), codec.encode(a_pod("c", 8))])
    kept: list[str] = []

    def keep(view: MetaView) -> MetaView:
        kept.append(view.metadata.name)
        return view

    informer = Informer(cast("Client", server), PODS, MetaView, keep=keep)
    told: list[str] = []
    informer.subscribe(lambda old, new: told.append(f"{old and old.metadata.name} {new and new.metadata.name}"))
    running = asyncio.ensure_future(informer.run())
    await informer.wait_synced()
    before = {pod.metadata.name: pod for pod in informer.values()}
    assert server.asked == 3
    assert kept == list("abcde")
    server.forgets.set()
    await server.listed_again.wait()
    after = {pod.metadata.name: pod for pod in informer.values()}
    assert server.asked == 5
    assert set(after) == {"a", "b", "c"}
    assert after["a"] is before["a"]
    assert after["b"] is before["b"], "it cannot be decoded, and has not gone"
    assert after["c"].metadata.resource_version == "8"
    assert told[5:] == ["d None", "e None", "c c"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("how", ["watch", "list"])
async def test_an_object_replaced_between_two_looks_is_told_as_two(how: str) -> None:
    def named_a(uid: str, revision: int) -> MetaView:
        meta = ObjectMeta(name="a", namespace="default", uid=uid, resource_version=str(revision), labels={"app": "web"})
        return MetaView(metadata=meta)

    informer = an_informer()
    informer.replace([named_a("first", 1)], 1)
    told: list[tuple[str, str]] = []
    informer.subscribe(lambda old, new: told.append((old.metadata.uid if old else "", new.metadata.uid if new else "")))
    if how == "watch":
        informer.apply(an_event("MODIFIED", named_a("second", 2)))
    else:
        informer.replace([named_a("second", 2)], 2)
    assert told == [("", "first"), ("first", ""), ("", "second")]
    assert [pod.metadata.uid for pod in informer.by_index("app", "web")] == ["second"]
