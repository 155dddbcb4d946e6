"""Whatever a client sends, what it is told are Kubernetes' words or ours, never those of a library or of Python."""

from __future__ import annotations

import re

import aiohttp

from orchestrator.api.kinds import BUILT_IN
from tests.support.server import RunningServer

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

#: What only a program in Python, or a library of ours, would say.
_LIBRARY_WORDS = re.compile(
    r"object at 0x|Traceback|<class|\w+Error\b|\w+Exception\b|NoneType|b'|bytearray|asyncio|aiohttp|msgspec|"
    r"cryptography|Errno|codec can't|\bNone\b|\bTrue\b|\bFalse\b|\{'\w+':|Expected `|byte string|unicode string|"
    r"Connect call|Not enough segments|padding"
)
_BODIES: list[tuple[str, bytes]] = [
    *(("application/json", body) for body in (
        b"", b"{", b'{"a":}', b"[]", b"1", b"null", b'"x"', b'{"a":1e999}', b'{"a":' + b"9" * 500 + b"}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}', b'{"metadata":1}', b'{"metadata":{"name":null,"labels":[1]}}', b'{"spec":true}', b"{" * 999,
        b'{"kind":null,"apiVersion":1}', b'{"kind":["x"]}', b'{"metadata":{"creationTimestamp":"x"}}',
        b'{"spec":{"request":"AAAA"}}', b'{"data":{"a":{"b":null}},"spec":{"replicas":"x"}}', b"\x1f\x8b\x08nothing",
    )),
    *(("application/yaml", body) for body in (
        b"a: b: c", b"a: [", b"\x00", b"a: \xff", b"&a *b", b"!!int x", b"? {a: b}\n: c", b"- 1", b"%YAML 9.9\n---\na",
    )),
    *(("application/vnd.kubernetes.protobuf", body) for body in (
        b"x", b"k8s\x00", b"k8s\x00\x0a\xff", b"k8s\x00\x0a\x04\x0a\x02v1\x12\x02\x0a\xff", b"k8s\x00\x08\x01\x10\x01",
        b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x04\x0a\x02\x0a\xff", b"k8s\x00\x0a\x02\x0a\x00\x12\x01\xff",
    )),
    *((kind, body) for kind in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH) for body in (
        b"", b"{", b"[1]", b"{}", b'[{"op":"x"}]', b'[{"op":"add","path":1}]', b'[{"op":"test","path":"/a/~"}]',
        b'{"metadata":null}', b'{"spec":1}', b'{"$patch":1}', b'{"metadata":{"$retainKeys":1,"finalizers":[{}]}}',
        b"null",
        b'[{"op":"remove","path":"/metadata"}]', b'[{"op":"add","path":"/metadata/labels","value":{"a":{"b":true}}}]',
    )),
    ("multipart/form-data; boundary=x", b"--x--"), ("text/plain", b"x"), (";;", b"{}"),
]  # fmt: skip
_QUERIES = (
    "limit=x", "continue=x", "continue=e30", "continue=eyJydiI6IngifQ", "resourceVersion=x",
    "watch=1&resourceVersion=x",
    "fieldSelector=%5C", "fieldSelector=a", "labelSelector=((", "labelSelector=a%3E1_0", "watch=1&timeoutSeconds=x",
    "resourceVersionMatch=x", "dryRun=x", "fieldValidation=x", "gracePeriodSeconds=x", "propagationPolicy=x", "%FF=%FF",
)  # fmt: skip


async def test_no_librarys_words_reach_a_client(api_server: RunningServer) -> None:
    seen: list[tuple[str, str, bytes, str]] = []
    async with aiohttp.ClientSession(api_server.url, headers={"Authorization": "Bearer admin"}) as session:

        async def check(method: str, path: str, body: bytes = b"", **headers: str) -> None:
            async with session.request(method, path, data=body, headers=headers) as answer:
                text = await answer.text(errors="replace")
            if answer.status >= 500 or (answer.status >= 400 and _LIBRARY_WORDS.search(text)):
                seen.append((method, path, body, text))

        for resource in (row.resource for row in BUILT_IN.rows):
            every = resource.path("default") if resource.namespaced else resource.path()
            one = f"{every}/default"
            for query in _QUERIES:
                await check("GET", f"{every}?{query}")
                await check("DELETE", f"{one}x?{query}")
            for content_type, body in _BODIES:
                patches = "patch" in content_type
                await check(
                    "PATCH" if patches else "POST", one if patches else every, body, **{"Content-Type": content_type}
                )
                await check("PATCH" if patches else "PUT", f"{one}/status", body, **{"Content-Type": content_type})
                if not patches:
                    await check("DELETE", f"{one}-not", body, **{"Content-Type": content_type})
        for subresource in (
            "binding",
            "eviction",
            "token",
            "scale",
            "exec",
            "log",
            "portforward",
            "approval",
            "finalize",
        ):
            for content_type, body in _BODIES:
                for plural in ("pods", "serviceaccounts", "namespaces"):
                    path = f"/api/v1/namespaces/default/{plural}/default/{subresource}"
                    await check("POST", path, body, **{"Content-Type": content_type})
        for token in ("x", "a.b.c", "e30.e30.e30", "a\u00ff.b.c"):
            await check("GET", "/api/v1/pods", Authorization=f"Bearer {token}")
    assert seen == []
