"""The memory of own writes, on a real cache."""

from __future__ import annotations

import pytest

from orchestrator.api import codec
from orchestrator.api.resources import PODS
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.machinery.errors import RetryLater
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.watch_stream import WatchEvent
from tests.support.controllers import CREATED, meta


def a_cache(*names):
    cache = Informer(None, PODS, MetaView)
    cache.replace([MetaView(metadata=meta(name, resourceVersion="1")) for name in names], 1)
    return cache


def show(cache, name, revision, *, type_="MODIFIED", **fields):
    view = MetaView(metadata=meta(name, resourceVersion=str(revision), **fields))
    cache.apply(WatchEvent(type_, codec.encode(view)))


def test_own_writes_are_waited_for_and_the_cache_wakes_the_key():
    queue, cache = WorkQueue(), a_cache()
    own = OwnWrites(queue)
    own.require_seen("k")
    own.wrote("k", cache, meta("a", resourceVersion="7"))
    own.wrote("k", cache, meta("b", resourceVersion="5"))
    for _ in range(3):
        with pytest.raises(RetryLater):
            own.require_seen("k")
    own.require_seen("other")
    show(cache, "b", 6)
    assert len(queue) == 0
    show(cache, "unrelated", 8)
    assert len(queue) == 1
    own.require_seen("k")
    show(cache, "a", 9)
    assert len(queue) == 1


async def test_the_key_that_was_woken_is_the_one_that_wrote():
    queue, cache = WorkQueue(), a_cache("a", "b")
    own = OwnWrites(queue)
    for key, name, revision in (("late", "a", 9), ("early", "b", 5)):
        own.wrote(key, cache, meta(name, resourceVersion=str(revision)))
        with pytest.raises(RetryLater):
            own.require_seen(key)
    show(cache, "b", 5)
    assert await queue.get() == "early"
    show(cache, "a", 9)
    assert await queue.get() == "late"


async def test_a_key_that_waits_for_the_same_again_is_woken_again():
    queue, cache = WorkQueue(), a_cache("a")
    own = OwnWrites(queue)
    for revision in (5, 9):  # of the second write of one object, the first one's sight tells nothing
        for _ in range(2):
            own.deleted("k", cache, meta("a"))
            with pytest.raises(RetryLater):
                own.require_seen("k")
        show(cache, "a", revision, deletionTimestamp=CREATED)
        assert await queue.get() == "k"
        queue.done("k")
        own.require_seen("k")
        show(cache, "a", revision + 1)


async def test_own_deletes_are_waited_for_but_not_namesakes():
    queue, cache = WorkQueue(), a_cache("a")
    own = OwnWrites(queue)
    own.deleted("k", cache, meta("a"))
    with pytest.raises(RetryLater):
        own.require_seen("k")
    show(cache, "other", 2)
    assert len(queue) == 0
    show(cache, "a", 3, uid="another")
    assert await queue.get() == "k"
    own.require_seen("k")


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        pytest.param("MODIFIED", {"deletionTimestamp": CREATED}, id="it-is-terminating"),
        pytest.param("DELETED", {}, id="it-is-gone"),
    ],
)
async def test_a_delete_is_seen_when_it_shows(type_, fields):
    queue, cache = WorkQueue(), a_cache("a")
    own = OwnWrites(queue)
    own.deleted("k", cache, meta("a"))
    with pytest.raises(RetryLater):
        own.require_seen("k")
    show(cache, "a", 4, type_=type_, **fields)
    assert await queue.get() == "k"
    own.require_seen("k")


async def test_a_new_list_wakes_whom_it_shows_the_write():
    queue, cache = WorkQueue(), a_cache("a")
    own = OwnWrites(queue)
    own.wrote("k", cache, meta("b", resourceVersion="4"))
    with pytest.raises(RetryLater):
        own.require_seen("k")
    cache.replace([MetaView(metadata=meta("b", resourceVersion="4"))], 4)
    assert await queue.get() == "k"
    own.require_seen("k")


def test_what_was_written_for_a_key_that_is_gone_does_not_matter():
    queue, cache = WorkQueue(), a_cache("a")
    own = OwnWrites(queue)
    own.wrote("k", cache, meta("b", resourceVersion="4"))
    own.deleted("k", cache, meta("a"))
    own.forget("k")
    own.require_seen("k")
