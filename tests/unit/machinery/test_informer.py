"""The informer's cache: what lists and events do to it, to its indexes and to its subscribers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.resources import PODS
from orchestrator.api.views.meta import MetaView, ObjectMeta
from orchestrator.machinery.client import Client, Listing
from orchestrator.machinery.errors import Gone, Unreachable
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


@given(st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), st.integers(0, 4), st.integers(0, 2))))
def test_indexes_always_equal_a_full_search(steps: list[tuple[str, int, int]]) -> None:
    informer = an_informer()
    for revision, (kind, name, app) in enumerate(steps, start=1):
        informer.apply(an_event(kind, a_pod(f"p{name}", revision, app=f"app{app}")))
    for app in ("app0", "app1", "app2"):
        searched = {pod.metadata.key for pod in informer.values() if pod.metadata.labels["app"] == app}
        assert {pod.metadata.key for pod in informer.by_index("app", app)} == searched
