"""What arrives: bodies, patches, queries and paths, read as Kubernetes reads them, at a cost that their size allows."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from orchestrator.api import yaml_text
from orchestrator.api.resources import CONFIGMAPS, DEPLOYMENTS, SECRETS
from orchestrator.machinery.errors import Invalid
from tests.support.manifests import a_workload
from tests.support.server import RunningServer, a_configmap

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


@pytest.fixture
async def session(api_server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP session of somebody who may do anything."""
    async with aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session:
        yield session


async def send(
    session: aiohttp.ClientSession, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
) -> tuple[int, Any, list[str]]:
    """The answer's code, its decoded body, and its warnings."""
    async with session.request(method, path, data=body, headers={"Content-Type": content_type}) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers.getall("Warning", [])


async def a_secret(session: aiohttp.ClientSession) -> str:
    """The path of a secret that holds `hunter2`."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"pw": "hunter2"}}
    code, _, _ = await send(session, "POST", SECRETS.path("default"), json.dumps(secret).encode())
    assert code == 201
    return SECRETS.path("default", "s")


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (
            '[{"op":"replace","path":"/nope/x","value":"eA=="}]',
            "replace operation does not apply: doc is missing path: /nope/x: missing value",
        ),
        ('[{"op":"test","path":"/data/pw","value":"eA=="}]', "testing value /data/pw failed: test failed"),
        (
            '[{"op":"remove","path":"/data/none"}]',
            "error in remove for path: '/data/none': Unable to remove nonexistent key: none: missing value",
        ),
        (
            '[{"op":"copy","path":"/metadata/labels"}]',
            "copy operation failed to decode from: operation, missing from field: missing value",
        ),
    ],
)
async def test_a_json_patch_that_does_not_apply_shows_nothing_of_the_object(
    session: aiohttp.ClientSession, patch: str, why: str
) -> None:
    code, status, _ = await send(session, "PATCH", await a_secret(session), patch.encode(), JSON_PATCH)
    assert (code, status["reason"]) == (422, "Invalid")
    assert status["message"] == "the server rejected our request due to an error in our request"
    assert [cause["message"] for cause in status["details"]["causes"]] == [why]


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (JSON_PATCH, '[{"op":"replace","path":"/type","value":{"x":1}}]'),
        (JSON_PATCH, '[{"op":"move","from":"/data","path":"/metadata"}]'),
        (MERGE_PATCH, '{"data":{"a":{"b":1}}}'),
        (MERGE_PATCH, '{"kind":"Pod"}'),
        (STRATEGIC_PATCH, '{"data":{"$patch":"odd"}}'),
        (STRATEGIC_PATCH, '{"metadata":{"ownerReferences":[{"kind":"Pod"}]}}'),
    ],
)
async def test_a_patch_that_makes_no_such_object_shows_nothing_of_it(
    session: aiohttp.ClientSession, content_type: str, patch: str
) -> None:
    path = await a_secret(session)
    async with session.patch(path, data=patch, headers={"Content-Type": content_type}) as answer:
        text = await answer.text()
    assert answer.status in (400, 422)
    assert base64.b64encode(b"hunter2").decode() not in text


async def test_keys_that_occur_twice_obey_field_validation_in_yaml_as_in_json(session: aiohttp.ClientSession) -> None:
    path = CONFIGMAPS.path("default")
    twice = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yam\ndata:\n  a: x\n  a: z\nodd: 1\n"
    code, status, _ = await send(session, "POST", f"{path}?fieldValidation=Strict", twice, "application/yaml")
    assert code == 400
    assert status["message"].endswith(
        'strict decoding error: yaml: unmarshal errors:\n  line 7: key "a" already set in map, unknown field "odd"'
    )
    code, made, warned = await send(session, "POST", path, twice, "application/yaml")
    assert (code, made["data"]) == (201, {"a": "z"})
    assert warned == ['299 - "line 7: key \\"a\\" already set in map"', '299 - "unknown field \\"odd\\""']
    code, _, warned = await send(
        session,
        "POST",
        f"{path}?fieldValidation=Ignore&dryRun=All",
        b"metadata: {name: q, name: r}",
        "application/yaml",
    )
    assert (code, warned) == (201, [])


@pytest.mark.parametrize(
    ("content_type", "patch", "sentence"),
    [
        (MERGE_PATCH, '{"spec":{"replicas":2,"replicas":3}}', 'duplicate field "spec.replicas"'),
        (STRATEGIC_PATCH, '{"spec":{"replicas":2,"replicas":3}}', 'duplicate field "spec.replicas"'),
        (
            JSON_PATCH,
            '[{"op":"replace","path":"/spec/replicas","value":2,"value":3}]',
            'json patch duplicate field "[0].value"',
        ),
        (MERGE_PATCH, '{"spec":{"odd":1}}', 'unknown field "spec.odd"'),
    ],
)
async def test_keys_that_occur_twice_in_a_patch_obey_field_validation(
    session: aiohttp.ClientSession, content_type: str, patch: str, sentence: str
) -> None:
    await send(session, "POST", DEPLOYMENTS.path("default"), json.dumps(a_workload("Deployment", "d")).encode())
    path = DEPLOYMENTS.path("default", "d")
    code, status, _ = await send(session, "PATCH", f"{path}?fieldValidation=Strict", patch.encode(), content_type)
    assert (code, status["details"]["causes"][0]["field"]) == (422, "patch")
    assert status["details"]["causes"][0]["message"].endswith(f"strict decoding error: {sentence}")
    code, _, warned = await send(session, "PATCH", path, patch.encode(), content_type)
    assert (code, warned) == (200, ['299 - "{}"'.format(sentence.replace('"', '\\"'))])
    code, _, warned = await send(session, "PATCH", f"{path}?fieldValidation=Ignore", patch.encode(), content_type)
    assert (code, warned) == (200, [])


async def test_a_body_that_takes_long_to_understand_does_not_hold_up_others(session: aiohttp.ClientSession) -> None:
    data = "\n".join(f"  k{number}: v" for number in range(10_000))
    body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata:\n{data}\n".encode()
    sending = asyncio.ensure_future(send(session, "POST", CONFIGMAPS.path("default"), body, "application/yaml"))
    turns = 0
    while not sending.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await sending)[0] == 201
    # The server shares this event loop: had it read the body on it, there would have been a few dozen.
    assert turns > 500


async def test_many_warnings_do_not_break_clients(session: aiohttp.ClientSession) -> None:
    odd = {**a_configmap("odd"), **{f"x{number}": 1 for number in range(300)}}
    code, _, warned = await send(session, "POST", CONFIGMAPS.path("default"), json.dumps(odd).encode())
    assert code == 201
    assert 10 < len(warned) <= 64


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CONFIGMAPS.path("default", "foo")),
        ("POST", "/api/v1/namespaces/foo"),
        ("POST", "/api/v1/nodes/foo"),
        ("PATCH", CONFIGMAPS.path("default")),
        ("PUT", CONFIGMAPS.path("default")),
        ("PUT", f"/api/v1/watch/{CONFIGMAPS.plural}"),
        ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews?watch=1"),
    ],
)
async def test_a_post_to_a_name_and_a_patch_of_a_collection_are_not_allowed(
    session: aiohttp.ClientSession, method: str, path: str
) -> None:
    code, status, _ = await send(session, method, path, json.dumps(a_configmap("bar")).encode())
    assert (code, status["reason"]) == (405, "MethodNotAllowed")
    code, status, _ = await send(session, "GET", CONFIGMAPS.path("default", "bar"))
    assert code == 404


async def test_of_repeated_parameters_the_first_selects_what_is_deleted(session: aiohttp.ClientSession) -> None:
    for name in ("a", "b"):
        labelled = a_configmap(name)
        labelled["metadata"]["labels"] = {"app": name}
        await send(session, "POST", CONFIGMAPS.path("default"), json.dumps(labelled).encode())
    await send(session, "DELETE", f"{CONFIGMAPS.path('default')}?labelSelector=app%3Da&labelSelector=app%3Db")
    _, found, _ = await send(session, "GET", CONFIGMAPS.path("default"))
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=99999999999999999999", 'strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        ("limit=1_0", 'strconv.ParseInt: parsing "1_0": invalid syntax'),
        ("limit=%EF%BC%91", 'strconv.ParseInt: parsing "\uff11": invalid syntax'),
        ("watch=1&timeoutSeconds=1.5", 'strconv.ParseInt: parsing "1.5": invalid syntax'),
    ],
)
async def test_what_is_no_number_is_refused_as_kubernetes_does(
    session: aiohttp.ClientSession, query: str, message: str
) -> None:
    code, status, _ = await send(session, "GET", f"{CONFIGMAPS.path('default')}?{query}")
    assert (code, status["message"]) == (400, message)


async def raw(server: RunningServer, head: str) -> bytes:
    """The first line of the answer to a request that no client library would send."""
    reader, writer = await asyncio.open_connection(*server.url.removeprefix("http://").split(":"))
    writer.write(f"{head}\r\nHost: x\r\nAuthorization: Bearer admin\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


async def test_targets_in_absolute_form_are_read(api_server: RunningServer) -> None:
    answer = await raw(api_server, "GET http://api.example:6443/api/v1/namespaces/default HTTP/1.1")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"kind":"Namespace"' in answer


async def test_lines_and_urls_over_eight_kilobytes_are_read(api_server: RunningServer) -> None:
    long = "x" * 300_000
    path = f"/api/v1/namespaces/default/configmaps?labelSelector=a!={'y' * 60}&odd={long}"
    assert (await raw(api_server, f"GET {path} HTTP/1.1\r\nX-Long: {long}")).startswith(b"HTTP/1.1 200")
    refused = await raw(api_server, f"GET /version?{long * 4} HTTP/1.1")
    assert b" 431 " in refused.splitlines()[0]


async def test_the_deprecated_paths_of_watches_are_served(
    api_server: RunningServer, session: aiohttp.ClientSession
) -> None:
    for name in ("a", "b"):
        await send(session, "POST", CONFIGMAPS.path("default"), json.dumps(a_configmap(name)).encode())
    for path, names in (("configmaps", ["a", "b"]), ("configmaps/b", ["b"])):
        url = f"/api/v1/watch/namespaces/default/{path}?timeoutSeconds=1"
        async with session.get(url) as answer:
            lines = (await answer.read()).splitlines()
        assert [json.loads(line)["object"]["metadata"]["name"] for line in lines] == names


async def test_who_accepts_yaml_gets_yaml(api_server: RunningServer) -> None:
    headers = {"Authorization": "Bearer admin", "Accept": "application/yaml"}
    async with aiohttp.ClientSession(api_server.url, headers=headers) as session:

        async def ask(method: str, path: str, **given: Any) -> tuple[int, str, Any]:
            async with session.request(method, path, **given) as answer:
                return answer.status, answer.content_type, yaml_text.decode(await answer.read())[0]

        path = CONFIGMAPS.path("default")
        code, content_type, made = await ask("POST", path, json=a_configmap("c", a="yes", b="1e3", c="x\ny\n"))
        assert (code, content_type, made["data"]) == (201, "application/yaml", {"a": "yes", "b": "1e3", "c": "x\ny\n"})
        assert (await ask("GET", f"{path}/c"))[2] == made
        listed = (await ask("GET", path))[2]
        assert listed["items"] == [made]
        code, content_type, status = await ask("GET", f"{path}/none")
        assert (code, content_type, status["reason"]) == (404, "application/yaml", "NotFound")
        code, _, status = await ask("GET", f"{path}?watch=1")
        assert (code, status["reason"]) == (406, "NotAcceptable")
        headers = {"Accept": "application/yaml;q=0.5, application/json"}
        async with session.get(path, headers=headers) as answer:
            assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/namespaces/default/configmaps/c/ephemeralcontainers", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
        ("PUT", "/api/v1/namespaces/default/pods/x/binding", 405),
        ("POST", "/version", 405),
    ],
)
async def test_a_404_or_405_has_details_though_they_are_empty(
    session: aiohttp.ClientSession, method: str, path: str, code: int
) -> None:
    answered, status, _ = await send(session, method, path)
    assert answered == code
    assert status["details"] == {}


async def test_a_user_whose_name_is_no_utf8_can_be_shown(api_server: RunningServer) -> None:
    body = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    reader, writer = await asyncio.open_connection(*api_server.url.removeprefix("http://").split(":"))
    writer.write(
        b"POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer admin\r\nImpersonate-User: caf\xe9\r\nImpersonate-Group: \xff\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    async with asyncio.timeout(30):
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 201 ")
    info = json.loads(answer)["status"]["userInfo"]
    assert (info["username"], info["groups"][0]) == ("caf\ufffd", "\ufffd")


async def test_a_refused_write_is_forgotten(session: aiohttp.ClientSession) -> None:
    for _ in range(20):
        code, _, _ = await send(session, "POST", CONFIGMAPS.path("default"), json.dumps(a_configmap("A_")).encode())
        assert code == 422
    gc.collect()
    assert sum(isinstance(one, Invalid) for one in gc.get_objects()) < 10
