"""Watches over the wire: what comes, in which order, as what, and how a watch ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from orchestrator.api.resources import CONFIGMAPS, PODS, Resource
from orchestrator.server.app import ServerSettings
from orchestrator.server.endpoints import watch
from tests.support.server import RunningServer, a_running_server


class Lines:
    """A watch's events, one at a time."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._buffer = b""

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while b"\n" not in self._buffer:
                chunk = await self._answer.content.readany()
                if not chunk:
                    raise EOFError
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    async def seen(self, count: int) -> list[tuple[str, str]]:
        """The next events as (type, name)."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@asynccontextmanager
async def watching(
    server: RunningServer, resource: Resource, namespace: str = "default", accept: str = "", **query: str
) -> AsyncIterator[Lines]:
    headers = {"Authorization": "Bearer admin"} | ({"Accept": accept} if accept else {})
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as session,
        session.get(resource.path(namespace), params={"watch": "1", **query}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        yield Lines(answer)


def a_configmap(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


async def test_a_watch_without_a_version_shows_what_is_there_and_then_every_change(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap("old"), "default", into=bytes)
        async with watching(api_server, CONFIGMAPS) as lines:
            assert await lines.seen(1) == [("ADDED", "old")]
            created = await client.create(CONFIGMAPS, a_configmap("new"), "default", into=dict)
            await client.patch(CONFIGMAPS, "new", {"data": {"a": "b"}}, "default", into=bytes)
            await client.delete(CONFIGMAPS, "new", "default")
            added, modified, deleted = [await lines.next() for _ in range(3)]
    assert added == {"type": "ADDED", "object": created}
    assert (modified["type"], deleted["type"]) == ("MODIFIED", "DELETED")
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in (added, modified, deleted)]
    assert revisions == sorted(set(revisions))
    assert deleted["object"]["data"] == {"a": "b"}


async def test_a_watch_resumes_after_the_version_it_names(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        first = await client.create(CONFIGMAPS, a_configmap("a"), "default", into=dict)
        await client.create(CONFIGMAPS, a_configmap("b"), "default", into=bytes)
        version = first["metadata"]["resourceVersion"]
        async with watching(api_server, CONFIGMAPS, resourceVersion=version) as lines:
            assert await lines.seen(1) == [("ADDED", "b")]
            await client.create(CONFIGMAPS, a_configmap("c"), "default", into=bytes)
            assert await lines.seen(1) == [("ADDED", "c")]


async def test_selectors_show_coming_and_going(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        listing = await client.list(CONFIGMAPS, "default", into=dict)
        query = {"labelSelector": "tier=front", "resourceVersion": str(listing.revision)}
        async with watching(api_server, CONFIGMAPS, **query) as lines:
            await client.create(CONFIGMAPS, a_configmap("x", tier="back"), "default", into=bytes)
            for tier in ("front", "front", "back"):
                change = {"metadata": {"labels": {"tier": tier}}, "data": {"n": tier}}
                await client.patch(CONFIGMAPS, "x", change, "default", into=bytes)
                await client.patch(CONFIGMAPS, "x", {"data": {"again": tier}}, "default", into=bytes)
            await client.create(CONFIGMAPS, a_configmap("y", tier="front"), "default", into=bytes)
            await client.delete(CONFIGMAPS, "y", "default")
            expected = [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x"), ("ADDED", "y"), ("DELETED", "y")]
            assert await lines.seen(5) == expected


async def test_a_node_sees_its_pods_from_binding_to_the_end(api_server: RunningServer) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]},
    }
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n1"}}
    async with (
        api_server.client() as client,
        watching(api_server, PODS, "", fieldSelector="spec.nodeName=n1") as mine,
        watching(api_server, PODS, "", fieldSelector="spec.nodeName=n2") as other,
        watching(api_server, PODS, "", fieldSelector="metadata.name=p") as named,
    ):
        await client.create(PODS, pod, "default", into=bytes)
        await client.create(PODS, binding, "default", into=bytes, name="p", subresource="binding")
        await client.delete(PODS, "p", "default", grace_s=0)
        assert await mine.seen(2) == [("ADDED", "p"), ("DELETED", "p")]
        assert await named.seen(3) == [("ADDED", "p"), ("MODIFIED", "p"), ("DELETED", "p")]
        pod["spec"]["nodeName"] = "n2"  # type: ignore[index]
        await client.create(PODS, {**pod, "metadata": {"name": "q"}}, "default", into=bytes)
        assert await other.seen(1) == [("ADDED", "q")]


async def test_a_streamed_list_ends_with_its_bookmark(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        for name in ("a", "b"):
            await client.create(CONFIGMAPS, a_configmap(name), "default", into=bytes)
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        async with watching(api_server, CONFIGMAPS, **query) as lines:
            assert await lines.seen(2) == [("ADDED", "a"), ("ADDED", "b")]
            bookmark = await lines.next()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) == api_server.cache.revision


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}], ids=["newest", "any"])
async def test_a_watch_that_begins_with_the_state_says_where_that_ends(
    api_server: RunningServer, query: dict[str, str]
) -> None:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap("a"), "default", into=bytes)
        async with watching(api_server, CONFIGMAPS, allowWatchBookmarks="true", **query) as lines:
            assert await lines.seen(1) == [("ADDED", "a")]
            bookmark = await lines.next()
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_an_object_is_watched_by_its_name(api_server: RunningServer) -> None:
    async with (
        api_server.client() as client,
        aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session,
    ):
        for name in ("a", "b"):
            await client.create(CONFIGMAPS, a_configmap(name), "default", into=bytes)
        query = {"watch": "1", "fieldSelector": "metadata.name=b"}
        async with session.get(CONFIGMAPS.path("default"), params=query) as answer:
            assert await Lines(answer).seen(1) == [("ADDED", "b")]


async def test_a_version_that_is_forgotten_is_gone(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        first = await client.create(CONFIGMAPS, a_configmap("a"), "default", into=dict)
        for number in range(12_000):
            # Straight into the cache's feed: the wire is not what this is about.
            await api_server.store.put(
                "/registry/core/configmaps/default/a", b'{"metadata":{"name":"a"}}', expect_revision=None
            )
            if number % 500 == 0:
                await asyncio.sleep(0)
        await api_server.cache.wait_fresh()
        async with aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session:
            query = {"watch": "1", "resourceVersion": first["metadata"]["resourceVersion"]}
            async with session.get(CONFIGMAPS.path("default"), params=query) as answer:
                assert answer.status == 410
                assert (await answer.json())["reason"] == "Expired"


async def test_a_watch_ends_when_its_time_is_up(api_server: RunningServer) -> None:
    async with watching(api_server, CONFIGMAPS, timeoutSeconds="1") as lines:
        with pytest.raises(EOFError):
            await lines.next()
    await nobody_watches(api_server)


async def test_a_client_of_http_1_0_watches_until_the_end_of_its_connection(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap("a"), "default", into=bytes)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api_server.url.rpartition(":")[2]))
    path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1"
    writer.write(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer admin\r\n\r\n".encode())
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b" 200 OK" in head
    assert b"chunked" not in head
    assert [json.loads(line)["object"]["metadata"]["name"] for line in body.splitlines()] == ["a"]


async def test_a_client_that_leaves_is_forgotten(api_server: RunningServer) -> None:
    async with watching(api_server, CONFIGMAPS):
        assert len(api_server.cache.collection(CONFIGMAPS).watchers) == 1
    await nobody_watches(api_server)


async def nobody_watches(server: RunningServer) -> None:
    """The server lets a watcher go after the client has seen the end, or has left."""
    async with asyncio.timeout(20):
        while len(server.cache.collection(CONFIGMAPS).watchers):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_while_it_is_written_to_is_no_error(
    api_server: RunningServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def write_to_nobody(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap("a"), "default", into=bytes)
    monkeypatch.setattr(watch.Stream, "_write", write_to_nobody)
    with pytest.raises(aiohttp.ClientError):
        async with watching(api_server, CONFIGMAPS) as lines:
            await lines.next()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize("query", [{}, {"labelSelector": "tier"}], ids=["all", "selected"])
async def test_a_watched_table_has_its_columns_with_the_first_row_only(
    api_server: RunningServer, query: dict[str, str]
) -> None:
    async with api_server.client() as client:
        await client.create(CONFIGMAPS, a_configmap("old"), "default", into=bytes)
        first = await client.create(CONFIGMAPS, a_configmap("a", tier="front"), "default", into=dict)
        since = {"resourceVersion": first["metadata"]["resourceVersion"]}
        async with (
            watching(api_server, CONFIGMAPS, accept=TABLE, **query) as from_the_state,
            watching(api_server, CONFIGMAPS, accept=TABLE, **since, **query) as from_a_revision,
        ):
            await client.create(CONFIGMAPS, a_configmap("b", tier="back"), "default", into=bytes)
            await client.create(CONFIGMAPS, a_configmap("c", tier="back"), "default", into=bytes)
            for lines, names in (
                (from_the_state, ["a", "b", "c"] if query else ["a", "old", "b", "c"]),
                (from_a_revision, ["b", "c"]),
            ):
                tables = [(await lines.next())["object"] for _ in names]
                assert [table["rows"][0]["cells"][0] for table in tables] == names
                assert [column["name"] for column in tables[0]["columnDefinitions"]] == ["Name", "Data", "Age"]
                assert [table["columnDefinitions"] for table in tables[1:]] == [None] * len(names[1:])


@pytest.mark.parametrize(
    "query", [{}, {"watch": "1"}, {"resourceVersionMatch": "Exact"}], ids=["list", "watch", "exact"]
)
async def test_a_version_from_the_future_is_waited_for_and_then_refused(
    api_server: RunningServer, query: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session,
        session.get(CONFIGMAPS.path("default"), params={"resourceVersion": "100000", **query}) as answer,
    ):
        assert answer.status == 504
        body = await answer.json()
    assert body["reason"] == "Timeout"
    assert body["message"].startswith("Timeout: Too large resource version: 100000, current: ")
    assert body["details"]["causes"] == [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    assert body["details"]["retryAfterSeconds"] == 1


class Resuming:
    """A client that believes its bookmarks: after each it leaves, and comes back with the revision it brought."""

    def __init__(self, server: RunningServer, wanted: frozenset[str], namespace: str = "", **query: str) -> None:
        self._server = server
        self._namespace = namespace
        self._query = {"allowWatchBookmarks": "true", **query}
        self._seen: set[str] = set()
        self.wanted = wanted
        self.bookmarks = 0

    @property
    def lost(self) -> set[str]:
        return self.wanted - self._seen

    async def follow(self, revision: int, stop: asyncio.Event) -> None:
        """Until it has seen all that it wants, or for one more watch after the stop: it has lost something then."""
        while self.lost:
            is_last = stop.is_set()
            query = {**self._query, "resourceVersion": str(revision)}
            async with watching(self._server, CONFIGMAPS, self._namespace, **query) as lines:
                revision = await self._until_bookmark(lines, revision)
            if is_last:
                return

    async def _until_bookmark(self, lines: Lines, revision: int) -> int:
        while True:
            event = await lines.next()
            meta = event["object"]["metadata"]
            if event["type"] == "BOOKMARK":
                assert int(meta["resourceVersion"]) >= revision
                self.bookmarks += 1
                return int(meta["resourceVersion"])
            assert int(meta["resourceVersion"]) > revision
            revision = int(meta["resourceVersion"])
            self._seen.add(meta["name"])


async def test_a_client_that_resumes_from_bookmarks_loses_nothing() -> None:
    count, writers = 2000, 4
    everything = frozenset(f"c{number}" for number in range(count))
    odd = frozenset(f"c{number}" for number in range(1, count, 2))
    async with a_running_server(settings=ServerSettings(bookmark_every_s=0.05)) as server, server.client() as client:
        start = (await client.list(CONFIGMAPS, "default", into=dict)).revision
        partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
        clients = [Resuming(server, everything, namespace) for namespace in ("", "default") * 16]
        clients += [Resuming(server, odd, namespace, labelSelector="parity=odd") for namespace in ("", "default") * 3]
        clients += [Resuming(server, everything, accept=partial) for _ in range(2)]
        stop = asyncio.Event()

        async def write(first: int) -> None:
            for number in range(first, count, writers):
                body = a_configmap(f"c{number}", parity="odd" if number % 2 else "even")
                await client.create(CONFIGMAPS, body, "default", into=bytes)

        async with asyncio.TaskGroup() as following:
            for one in clients:
                following.create_task(one.follow(start, stop))
            async with asyncio.TaskGroup() as writing:
                for first in range(writers):
                    writing.create_task(write(first))
            stop.set()
    assert [one.lost for one in clients] == [set()] * 40
    assert all(one.bookmarks for one in clients)


async def test_a_client_that_was_cut_for_not_reading_resumes_and_loses_nothing() -> None:
    count = 60
    async with a_running_server(settings=ServerSettings(bookmark_every_s=0.05)) as server, server.client() as client:
        revision = (await client.list(CONFIGMAPS, "default", into=dict)).revision
        query = {"allowWatchBookmarks": "true", "resourceVersion": str(revision)}
        seen: list[str] = []
        async with watching(server, CONFIGMAPS, **query) as lines:
            # More than may wait for one client, and than fits in between.
            for number in range(count):
                body = {**a_configmap(f"c{number}"), "data": {"much": "x" * 500_000}}
                await client.create(CONFIGMAPS, body, "default", into=bytes)
            await server.cache.wait_fresh()
            with suppress(aiohttp.ClientError, EOFError):
                while len(seen) < count:
                    revision = remembered(await lines.next(), revision, seen)
        assert len(seen) < count
        async with watching(server, CONFIGMAPS, **{**query, "resourceVersion": str(revision)}) as lines:
            while len(seen) < count:
                revision = remembered(await lines.next(), revision, seen)
    assert seen == [f"c{number}" for number in range(count)]


def remembered(event: dict[str, Any], revision: int, seen: list[str]) -> int:
    """The revision to resume from after an event, which is added to what was seen."""
    meta = event["object"]["metadata"]
    assert int(meta["resourceVersion"]) >= revision
    if event["type"] != "BOOKMARK":
        seen.append(meta["name"])
    return int(meta["resourceVersion"])
