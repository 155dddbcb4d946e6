"""Who a request is from, over a socket: with odd credentials, with none, and in reviews."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from orchestrator.api.kinds import BUILT_IN
from orchestrator.machinery.errors import BadRequest, Invalid
from tests.support.server import RunningServer

_TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that sends what it is told."""
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_token_with_a_byte_beyond_ascii_is_a_401(api_server: RunningServer) -> None:
    host, port = api_server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\xff.b.c\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("/", 'forbidden: User "system:anonymous" cannot get path "/"', id="a-path"),
        pytest.param(
            "/api/v1/namespaces/default/pods",
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace '
            '"default"',
            id="a-resource",
        ),
    ],
)
async def test_without_credentials_one_is_anonymous_and_forbidden(
    api_server: RunningServer, session: aiohttp.ClientSession, path: str, message: str
) -> None:
    async with session.get(api_server.url + path) as answer:
        assert answer.status == 403
        status = await answer.json()
    assert (status["reason"], status["message"]) == ("Forbidden", message)


async def test_bad_credentials_are_a_401(api_server: RunningServer, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{api_server.url}/readyz", headers={"Authorization": "Bearer guess"}) as answer:
        assert answer.status == 401
        assert (await answer.json())["message"] == "Unauthorized"
        # What was renewed since is shown when a connection is made: an old one must not be gone on with.
        assert answer.headers["Connection"] == "close"


async def test_impersonating_extra_alone_is_refused(api_server: RunningServer, session: aiohttp.ClientSession) -> None:
    headers = {"Authorization": "Bearer admin", "Impersonate-Extra-Team": "x"}
    async with session.get(f"{api_server.url}/api/v1/pods", headers=headers) as answer:
        assert answer.status == 500
        assert "without impersonating a user" in (await answer.json())["message"]


async def _review(server: RunningServer, **spec: Any) -> dict[str, Any]:
    body = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
    async with server.client() as client:
        answer = await client.request("POST", _TOKEN_REVIEWS, body=json.dumps(body).encode())
    status: dict[str, Any] = json.loads(answer)["status"]
    return status


async def test_a_review_says_whose_token_it_is_and_for_whom(api_server: RunningServer) -> None:
    status = await _review(api_server, token="scheduler", audiences=["vault"])
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:kube-scheduler"
    assert status["audiences"] == ["vault"]


async def test_a_review_of_a_token_that_proves_nothing_says_so(api_server: RunningServer) -> None:
    assert await _review(api_server, token="guess") == {"user": {}, "error": "invalid bearer token"}


async def test_a_review_without_a_token_is_a_mistake(api_server: RunningServer) -> None:
    with pytest.raises(BadRequest, match="token is required for TokenReview in authentication"):
        await _review(api_server)


_POD = {"verb": "get", "resource": "pods", "namespace": "default"}


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        pytest.param(
            "SelfSubjectAccessReview",
            {},
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes "
            "must be specified",
            id="about-nothing",
        ),
        pytest.param(
            "SubjectAccessReview",
            {"user": "x", "resourceAttributes": _POD, "nonResourceAttributes": {"path": "/"}},
            'spec.nonResourceAttributes: Invalid value: {"path":"/"}: cannot be specified in combination with '
            "resourceAttributes",
            id="about-two-things",
        ),
        pytest.param(
            "SubjectAccessReview",
            {"resourceAttributes": _POD},
            'spec.user: Invalid value: "": at least one of user or group must be specified',
            id="about-nobody",
        ),
        pytest.param(
            "LocalSubjectAccessReview",
            {"user": "x", "resourceAttributes": {**_POD, "namespace": "other"}},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
            id="about-elsewhere",
        ),
    ],
)
async def test_a_question_that_cannot_be_answered_is_invalid(
    api_server: RunningServer, kind: str, spec: dict[str, Any], why: str
) -> None:
    row = BUILT_IN.by_kind("authorization.k8s.io/v1", kind)
    assert row is not None
    body = json.dumps({"kind": kind, "apiVersion": "authorization.k8s.io/v1", "spec": spec}).encode()
    async with api_server.client() as client:
        with pytest.raises(Invalid) as refused:
            await client.request("POST", row.resource.path("default" if row.resource.namespaced else ""), body=body)
    assert refused.value.message == f'{kind}.authorization.k8s.io "" is invalid: {why}'


async def test_what_one_may_do_is_asked_of_a_namespace(api_server: RunningServer) -> None:
    body = b'{"kind":"SelfSubjectRulesReview","apiVersion":"authorization.k8s.io/v1","spec":{}}'
    async with api_server.client() as client:
        with pytest.raises(BadRequest, match="no namespace on request"):
            await client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=body)
