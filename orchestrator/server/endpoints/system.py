"""What is no resource: version, health, metrics, discovery, OpenAPI, the documents of token verification."""

from __future__ import annotations

import platform
import sys

from orchestrator import __version__
from orchestrator.machinery import health
from orchestrator.machinery import metrics as shared_metrics
from orchestrator.server import discovery, metrics, refusals
from orchestrator.server.answers import Answer
from orchestrator.server.core import Call, Core
from orchestrator.server.endpoints import schemas
from orchestrator.server.endpoints.schemas import is_known

_HEALTH = tuple(f"/{endpoint}" for endpoint in health.ENDPOINTS)

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": f"v1.36.0+wherry{__version__}",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": f"python{sys.version_info.major}.{sys.version_info.minor}",
    "compiler": platform.python_implementation(),
    "platform": f"{sys.platform}/{platform.machine().replace('x86_64', 'amd64').replace('aarch64', 'arm64')}",
}


async def answer(call: Call) -> Answer:
    """Answer a path; raises `NotFound` for those that nobody knows."""
    path = call.request.path.rstrip("/") or "/"
    if call.request.method not in ("GET", "HEAD"):
        raise refusals.not_allowed() if _is_known(path) else refusals.no_such_resource()
    if path.startswith(_HEALTH):
        return _health(call, path)
    match path:
        case "/version":
            return Answer.of(VERSION)
        case "/metrics":
            return await _metrics(call)
        case "/":
            return Answer.of(
                {
                    "paths": [
                        "/api",
                        "/apis",
                        "/healthz",
                        "/livez",
                        "/metrics",
                        "/openapi/v2",
                        "/openapi/v3",
                        "/readyz",
                        "/version",
                    ]
                }
            )
    if path.startswith("/openapi/"):
        return await schemas.answer(call, path)
    if (document := call.core.documents.get(path)) is not None:
        return Answer.of(document)
    if (found := discovery.respond(call.kinds, path, call.http.headers.get("Accept", ""))) is not None:
        if not found.tag:
            return Answer(found.body, content_type=found.content_type)
        # Clients keep it, and ask with its tag whether it still is so.
        headers = [("ETag", f'"{found.tag}"'), ("Vary", "Accept"), ("Cache-Control", "public")]
        if is_known(call, found.tag):
            return Answer(status=304, headers=headers)
        return Answer(found.body, content_type=found.content_type, headers=headers)
    raise refusals.no_such_resource()


def _is_known(path: str) -> bool:
    return path in ("/version", "/metrics", "/", "/api", "/apis") or path.startswith((*_HEALTH, "/openapi/"))


def _health(call: Call, path: str) -> Answer:
    """`ok`, or which check fails; `?verbose`, `?exclude=CHECK` and `/readyz/CHECK` as Kubernetes has them."""
    endpoint, _, only = path.lstrip("/").partition("/")
    if endpoint not in health.ENDPOINTS:
        raise refusals.no_such_resource()
    query = call.http.query
    parts = _parts_of(call.core)
    found = health.respond(endpoint, parts, only=only, verbose="verbose" in query, excluded=query.getall("exclude", []))
    if found is None:
        raise refusals.no_such_resource()
    status, text = found
    return Answer(
        text.encode(),
        status=status,
        content_type="text/plain; charset=utf-8",
        headers=[("X-Content-Type-Options", "nosniff")],
    )


def _parts_of(core: Core) -> tuple[health.Part, ...]:
    """The parts that can fail, or lag, by themselves; Kubernetes' API server lists its own."""
    return (
        health.PING,
        health.Part(name="store", check=core.store.failure),
        health.Part(name="cache", check=core.cache.failure),
        health.Part(name="bootstrap", check=lambda: None if core.has_started() else "not finished", only_ready=True),
    )


async def _metrics(call: Call) -> Answer:
    for name, collection in call.core.cache.collections():
        metrics.OBJECTS.labels(name).set(len(collection))
    body, content_type = await shared_metrics.render()
    return Answer(body, content_type=content_type)
