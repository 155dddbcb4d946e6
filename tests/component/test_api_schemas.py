"""`/openapi` over the wire, and kubectl's own reading of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import Resource
from orchestrator.api.strategies.base import Strategy
from tests.support.server import RunningServer, Trusting, a_running_server, in_a_task

KUBECTL = shutil.which("kubectl")
OLD_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
BOAT = Kind(
    resource=Resource("example.com", "v1", "boats", "Boat"),
    singular="boat",
    strategy=Strategy(),
    definition={
        "description": "A boat floats.",
        "properties": {
            "spec": {"type": "object", "properties": {"masts": {"type": "integer", "description": "How many."}}}
        },
    },
)


@pytest.fixture
async def api_server() -> AsyncIterator[RunningServer]:
    """A server for clients without tokens."""
    async with in_a_task(a_running_server(authenticator=Trusting())) as running:
        yield running


async def get(server: RunningServer, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(server.url, auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session,
        session.get(path, headers=named, allow_redirects=False) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def test_the_old_document_is_served_whole_in_both_forms(api_server: RunningServer) -> None:
    status, headers, body = await get(api_server, "/openapi/v2")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    document = json.loads(body)
    assert document["swagger"] == "2.0"
    assert "io.k8s.api.apps.v1.Deployment" in document["definitions"]
    for accept in (OLD_PROTOBUF, PROTOBUF):
        status, headers, body = await get(api_server, "/openapi/v2", Accept=accept)
        assert (status, headers["Content-Type"]) == (200, PROTOBUF)
        assert body.startswith(b"\x0a\x032.0")
    status, headers, body = await get(api_server, "/openapi/v2", Accept="text/html")
    assert (status, json.loads(body)["reason"]) == (406, "NotAcceptable")


async def test_the_index_is_not_sent_twice_until_it_changes(api_server: RunningServer) -> None:
    served = api_server.server.core.served
    _, headers, _ = await get(api_server, "/openapi/v3")
    assert (await get(api_server, "/openapi/v3", If_None_Match=headers["ETag"]))[0] == 304
    served.replace(served.kinds.replaced(put=[BOAT]))
    assert (await get(api_server, "/openapi/v3", If_None_Match=headers["ETag"]))[0] == 200


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3/apis/apps/v1"])
async def test_documents_are_compressed_and_not_sent_twice(api_server: RunningServer, path: str) -> None:
    _, headers, plain = await get(api_server, path)
    assert "Content-Encoding" not in headers
    _, headers, compressed = await get(api_server, path, Accept_Encoding="gzip, deflate")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed) == plain
    tag = headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}"):
        status, headers, body = await get(api_server, path, If_None_Match=known)
        assert (status, headers["ETag"], body) == (304, tag, b"")
        assert "Content-Type" not in headers
    assert (await get(api_server, path, If_None_Match='"other"'))[0] == 200


async def test_an_address_with_a_hash_is_good_for_one_content(api_server: RunningServer) -> None:
    served = api_server.server.core.served
    served.replace(served.kinds.replaced(put=[BOAT]))
    _, headers, index = await get(api_server, "/openapi/v3")
    url = json.loads(index)["paths"]["apis/example.com/v1"]["serverRelativeURL"]
    status, headers, _ = await get(api_server, url)
    assert (status, headers["Cache-Control"]) == (200, "public, immutable")
    served.replace(served.kinds.replaced(put=[replace(BOAT, definition={})]))
    status, headers, _ = await get(api_server, url)
    assert status == 301
    assert "Cache-Control" not in headers or "immutable" not in headers["Cache-Control"]
    status, _, document = await get(api_server, headers["Location"])
    assert (status, b"How many." in document) == (200, False)
    assert (await get(api_server, headers["Location"], Accept="text/html"))[0] == 406


async def test_many_who_ask_at_once_get_one_document(api_server: RunningServer) -> None:
    server = api_server.server.core.served
    server.replace(server.kinds.replaced(put=[BOAT]))  # a snapshot that nothing hangs on yet
    answers = await asyncio.gather(*(get(api_server, "/openapi/v2") for _ in range(20)))
    assert len({body for _, _, body in answers}) == 1
    assert b"com.example.v1.Boat" in answers[0][2]


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH")
@pytest.mark.parametrize("form", ["plaintext-openapiv2", "plaintext"])
async def test_kubectl_explains_from_either_document(api_server: RunningServer, tmp_path: Path, form: str) -> None:
    served = api_server.server.core.served
    served.replace(served.kinds.replaced(put=[BOAT]))
    for asked, words in {
        "deployment.spec.strategy.rollingUpdate": ("Rolling update config params", "maxSurge", "maxUnavailable"),
        "pod.spec.containers.ports": ("containerPort", "<integer>", "protocol", "<string>"),
        "boat.spec": ("masts", "How many."),
    }.items():
        told = await kubectl(api_server, tmp_path, "explain", asked, f"--output={form}")
        assert [word for word in words if word not in told] == [], told


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH")
async def test_kubectl_finds_the_same_when_it_asks_again(api_server: RunningServer, tmp_path: Path) -> None:
    """It keeps what it has discovered, and asks with the tag whether it still is so."""
    discovered = [await kubectl(api_server, tmp_path, "api-resources", "--sort-by=name") for _ in range(2)]
    assert "deployments" in discovered[0]
    assert discovered[0] == discovered[1]


async def kubectl(server: RunningServer, home: Path, *arguments: str) -> str:
    assert KUBECTL is not None
    environment = {**os.environ, "KUBECONFIG": os.devnull, "HOME": str(home)}
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        f"--server={server.url}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
