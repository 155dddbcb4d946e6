"""Kinds that come, change and go while the server runs: one snapshot says what is served, everywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import CONFIGMAPS, Resource
from orchestrator.api.strategies.base import Strategy
from tests.support.server import RunningServer, a_configmap

BOATS = Resource("example.com", "v1", "boats", "Boat")
BOAT = Kind(
    resource=BOATS,
    singular="boat",
    short_names=("bo",),
    strategy=Strategy(),
    definition={"properties": {"spec": {"type": "object", "properties": {"masts": {"type": "integer"}}}}},
)
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def a_boat(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": name}, "spec": spec}


class Caller:
    """Asks the server over the wire."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, accept: str = "*/*", **query: str) -> tuple[int, Any]:
        async with self._session.get(path, params=query, headers={"Accept": accept}) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Mapping[str, Any], **query: str) -> tuple[int, Any]:
        async with self._session.post(path, json=body, params=query) as answer:
            return answer.status, await answer.json()

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._session.get(path, params={"watch": "1", **query}) as answer:
            assert answer.status == 200
            yield answer


@asynccontextmanager
async def a_caller(server: RunningServer) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(server.url, headers={"Authorization": "Bearer admin"}) as session:
        yield Caller(session)


async def next_event(answer: aiohttp.ClientResponse) -> tuple[str, str] | None:
    """The next event as (type, name); None at the watch's end."""
    async with asyncio.timeout(10):
        line = await answer.content.readline()
    if not line:
        return None
    event = json.loads(line)
    return event["type"], event["object"]["metadata"]["name"]


async def groups_of(caller: Caller) -> tuple[set[str], set[str]]:
    """The groups that are served, by the old documents and by the aggregated one."""
    _, legacy = await caller.get("/apis")
    _, aggregated = await caller.get("/apis", accept=AGGREGATED)
    return {group["name"] for group in legacy["groups"]}, {group["metadata"]["name"] for group in aggregated["items"]}


async def test_a_kind_that_comes_is_served_like_any_other(api_server: RunningServer) -> None:
    served = api_server.server.core.served
    async with a_caller(api_server) as caller:
        assert (await caller.get(BOATS.path("default")))[0] == 404
        assert (await caller.get("/openapi/v3/apis/example.com/v1"))[0] == 404
        served.replace(served.kinds.replaced(put=[BOAT]))
        assert all("example.com" in groups for groups in await groups_of(caller))
        _, listed = await caller.get("/apis/example.com/v1")
        assert [(one["name"], one["shortNames"]) for one in listed["resources"]] == [("boats", ["bo"])]
        async with caller.watch(BOATS.path("default")) as watching:
            assert (await caller.post(BOATS.path("default"), a_boat("ida", masts=2)))[0] == 201
            assert await next_event(watching) == ("ADDED", "ida")
        _, boats = await caller.get(BOATS.path())
        assert boats["kind"] == "BoatList"
        assert [one["spec"] for one in boats["items"]] == [{"masts": 2}]
        status, refused = await caller.post(BOATS.path("default"), a_boat("bad", masts="two"))
        assert (status, refused["reason"]) == (400, "BadRequest")
        status, refused = await caller.post(BOATS.path("default"), a_boat("b", sails=2), fieldValidation="Strict")
        assert (status, "spec.sails" in refused["message"]) == (400, True)
        _, document = await caller.get("/openapi/v3/apis/example.com/v1")
        assert "masts" in document["components"]["schemas"]["com.example.v1.Boat"]["properties"]["spec"]["properties"]
        assert {path for path in document["paths"] if path.endswith("/boats")} == {
            "/apis/example.com/v1/boats",
            "/apis/example.com/v1/namespaces/{namespace}/boats",
        }


async def test_a_kind_that_changes_ends_its_watches_and_is_told_of_anew(api_server: RunningServer) -> None:
    served = api_server.server.core.served
    served.replace(served.kinds.replaced(put=[BOAT]))
    async with a_caller(api_server) as caller, caller.watch(CONFIGMAPS.path("default")) as bystander:
        await caller.post(BOATS.path("default"), a_boat("ida", masts=2))
        _, before = await caller.get("/openapi/v3")
        async with caller.watch(BOATS.path()) as watching:
            assert await next_event(watching) == ("ADDED", "ida")
            served.replace(
                served.kinds.replaced(put=[replace(BOAT, short_names=("bt",), definition={"properties": {}})])
            )
            assert await next_event(watching) is None
        _, after = await caller.get("/openapi/v3")
        changed = {path for path in after["paths"] if after["paths"][path] != before["paths"][path]}
        assert changed == {"apis/example.com/v1"}
        _, listed = await caller.get("/apis/example.com/v1")
        assert listed["resources"][0]["shortNames"] == ["bt"]
        status, refused = await caller.post(BOATS.path("default"), a_boat("b", masts=2), fieldValidation="Strict")
        assert (status, "spec" in refused["message"]) == (400, True)
        # What is not concerned goes on.
        await caller.post(CONFIGMAPS.path("default"), a_configmap("c"))
        assert await next_event(bystander) == ("ADDED", "c")


async def test_a_kind_that_goes_is_not_found_and_nothing_of_it_stays(api_server: RunningServer) -> None:
    served = api_server.server.core.served
    served.replace(served.kinds.replaced(put=[BOAT]))
    async with a_caller(api_server) as caller:
        _, ida = await caller.post(BOATS.path("default"), a_boat("ida"))
        async with caller.watch(BOATS.path(), resourceVersion=ida["metadata"]["resourceVersion"]) as watching:
            served.replace(served.kinds.replaced(drop=[BOATS]))
            assert await next_event(watching) is None
        for path in (BOATS.path(), BOATS.path("default", "ida"), "/apis/example.com", "/apis/example.com/v1"):
            status, body = await caller.get(path)
            assert (status, body["reason"]) == (404, "NotFound"), path
        assert (await caller.get(BOATS.path(), watch="1"))[0] == 404
        assert not any("example.com" in groups for groups in await groups_of(caller))
        assert "apis/example.com/v1" not in (await caller.get("/openapi/v3"))[1]["paths"]
        # It comes back to the objects that are still stored, but not to a past that nobody kept.
        served.replace(served.kinds.replaced(put=[BOAT]))
        _, boats = await caller.get(BOATS.path())
        assert [one["metadata"]["name"] for one in boats["items"]] == ["ida"]
        await caller.post(CONFIGMAPS.path("default"), a_configmap("c"))
        assert len(api_server.cache.collection(BOATS)) == 1


async def test_every_group_that_is_named_answers(api_server: RunningServer) -> None:
    async with a_caller(api_server) as caller:
        _, apis = await caller.get("/apis")
        named = {group["name"]: {version["version"] for version in group["versions"]} for group in apis["groups"]}
        for group, versions in named.items():
            status, answer = await caller.get(f"/apis/{group}/")
            assert (status, answer["kind"], answer["name"]) == (200, "APIGroup", group)
            assert answer["preferredVersion"]["version"] in versions
            for version in versions:
                status, answer = await caller.get(f"/apis/{group}/{version}")
                assert (status, answer["groupVersion"]) == (200, f"{group}/{version}")
                # No document names a group that is not served.
                spoken = {(one["group"], one["version"]) for one in answer["resources"] if "group" in one}
                assert all(version in named[group] for group, version in spoken)
        _, aggregated = await caller.get("/apis", accept=AGGREGATED)
        assert {group["metadata"]["name"] for group in aggregated["items"]} == named.keys()


async def test_the_aggregated_document_is_not_sent_twice_until_it_changes(api_server: RunningServer) -> None:
    served = api_server.server.core.served
    async with aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session:
        async with session.get("/apis", headers={"Accept": AGGREGATED}) as answer:
            known = {"Accept": AGGREGATED, "If-None-Match": answer.headers["ETag"]}
        async with session.get("/apis", headers=known) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
            # kubectl's cache takes over the headers of a 304: another content type would make another document of it.
            assert not {"Content-Type", "Content-Length"} & answer.headers.keys()
        served.replace(served.kinds.replaced(put=[BOAT]))
        async with session.get("/apis", headers=known) as answer:
            assert (answer.status, b"boats" in await answer.read()) == (200, True)


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"resourceAttributes": {"verb": "get"}}),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}),
        ("/apis/authentication.k8s.io/v1/tokenreviews", {"token": "t"}),
    ],
)
async def test_a_review_cannot_be_had_as_a_table(api_server: RunningServer, path: str, spec: Any) -> None:
    async with aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session:
        for accept, expected in ((TABLE, 406), (f"{TABLE},application/json", 201), ("application/json", 201)):
            async with session.post(path, json={"spec": spec}, headers={"Accept": accept}) as answer:
                body = await answer.json()
                assert answer.status == expected, body
                assert body["kind"] == ("Status" if expected == 406 else body["kind"])
                assert expected != 406 or body["reason"] == "NotAcceptable"
