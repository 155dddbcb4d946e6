"""Who is answered when: slow bodies, clients that do not read, and what is left for others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp
import pytest

from orchestrator.api import codec
from orchestrator.api.resources import CONFIGMAPS, LEASES, PODS
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import BadRequest, GatewayTimeout, NotFound, TooManyRequests
from orchestrator.server.app import ServerSettings
from orchestrator.server.gate.gate import GateLimits
from orchestrator.server.gate.intake import IntakeLimits
from orchestrator.store.base import Operation
from orchestrator.store.memory import MemoryStore
from tests.support.server import AllowAll, RunningServer, a_configmap, a_running_server

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@contextlib.asynccontextmanager
async def _half_sent(
    server: RunningServer, token: str, *, path: str = _REVIEWS, size: int = 100
) -> AsyncIterator[None]:
    """A request of which the server waits for the rest of the body: it has said so."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {size}\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
    try:
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"{" * (size - 1))
        yield
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_without_a_seat_to_be_had_all_but_masters_are_told_to_come_again() -> None:
    settings = ServerSettings(gate=GateLimits(seats=0, waiting=0))
    async with a_running_server(settings=settings) as server:
        async with server.client("scheduler") as client:
            with pytest.raises(TooManyRequests):
                await client.get(PODS, "x", "default", into=bytes)
        async with server.client("admin") as admin:
            with pytest.raises(NotFound):
                await admin.get(PODS, "x", "default", into=bytes)


async def test_400_slow_bodies_from_one_identity_without_any_right_stop_no_write() -> None:
    async with a_running_server() as server, contextlib.AsyncExitStack() as slow:
        for _ in range(400):
            await slow.enter_async_context(_half_sent(server, "nobody"))
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"}, "spec": {}}
        async with server.client("node-n1") as node, server.client("nobody") as same:
            await node.create(LEASES, lease, "kube-node-lease", into=bytes)
            body = b'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
            await same.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)


async def test_bodies_held_are_bounded_by_identity_and_given_back() -> None:
    settings = ServerSettings(intake=IntakeLimits(flow_bytes=10_000))
    async with a_running_server(settings=settings) as server, server.client("nobody") as client:
        body = codec.encode(
            {
                "kind": "SelfSubjectReview",
                "apiVersion": "authentication.k8s.io/v1",
                "metadata": {"annotations": {"a": "x" * 5000}},
            }
        )
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with _half_sent(server, "nobody", size=6000), server.client("scheduler") as other:
            with pytest.raises(TooManyRequests):
                await _until_refused(client, path, body)
            await other.request("POST", path, body=body)
        await _until_answered(client, path, body)


async def _until_refused(client: Client, path: str, body: bytes) -> None:
    """The bytes of the other request may still be under way."""
    async with asyncio.timeout(30):
        while True:
            await client.request("POST", path, body=body)


async def _until_answered(client: Client, path: str, body: bytes) -> None:
    """That the other client is gone is for the server to find out."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(TooManyRequests):
                await client.request("POST", path, body=body)
                return


async def test_a_body_that_is_too_large_is_refused_before_it_comes(api_server: RunningServer) -> None:
    host, port = api_server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {_REVIEWS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: {(3 << 20) + 1}\r\n"
    writer.write(head.encode() + b"\r\n")
    assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_tables_and_partial_lists_in_pieces_are_whole() -> None:
    async with a_running_server(authorizer=AllowAll()) as server, server.client() as client:
        for number in range(120):
            await client.create(CONFIGMAPS, a_configmap(f"c-{number:03}"), "default", into=bytes)
        url = f"{server.url}/api/v1/namespaces/default/configmaps"
        names = [f"c-{number:03}" for number in range(120)]
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer admin"}) as session:
            async with session.get(url, headers={"Accept": _TABLE}) as answer:
                table = await answer.json()
            assert [row["object"]["metadata"]["name"] for row in table["rows"]] == names
            assert table["columnDefinitions"]
            assert table["metadata"]["resourceVersion"]
            async with session.get(url, headers={"Accept": _PARTIAL}) as answer:
                listing = await answer.json()
            assert [item["metadata"]["name"] for item in listing["items"]] == names
            assert listing["kind"] == "PartialObjectMetadataList"
            async with session.head(url, headers={"Accept": _TABLE}) as answer:
                assert answer.status == 200
            async with session.get(f"{url}?limit=1", headers={"Accept": _TABLE}) as answer:  # the connection is good
                assert len((await answer.json())["rows"]) == 1


class Stuck(MemoryStore):
    """Its disk does not answer any more, once told so; what was asked of it then is never done."""

    is_stuck = False

    async def commit(self, operations: Sequence[Operation], expectations: Mapping[str, int]) -> int:
        if self.is_stuck:
            await asyncio.Event().wait()
        return await super().commit(operations, expectations)


async def test_a_write_that_the_store_does_not_answer_gives_its_seat_back() -> None:
    store = Stuck()
    settings = ServerSettings(gate=GateLimits(seats=12), commit_s=0.05)
    async with a_running_server(store=store, settings=settings) as server, server.client("controllers") as client:
        store.is_stuck = True
        for number in range(30):
            with pytest.raises(GatewayTimeout, match="request did not complete within requested timeout"):
                await client.create(CONFIGMAPS, a_configmap(f"c{number}"), "default", into=bytes)
        await client.list(CONFIGMAPS, "default", into=bytes)


async def test_malformed_bodies_hold_nothing_afterwards(api_server: RunningServer) -> None:
    async with api_server.client("nobody") as client:
        for _ in range(50):
            with pytest.raises(BadRequest):
                await client.request("POST", _REVIEWS, body=b"{" * 1_000_000)
