"""Prometheus metrics of the shared machinery, and the loopback endpoint for health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

from orchestrator.machinery.health import PING, Check, Part, respond

QUEUE_DEPTH = Gauge("wherry_workqueue_depth", "Keys waiting in a work queue.", ["name"])
SYNC_SECONDS = Histogram(
    "wherry_sync_duration_seconds",
    "How long one sync of one key took.",
    ["name"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
SYNCS = Counter("wherry_syncs_total", "Syncs by how they ended.", ["name", "result"])
OBJECT_FAILURES = Counter("wherry_object_failures_total", "Objects whose turn failed, by the event logged.", ["event"])
INFORMER_OBJECTS = Gauge("wherry_informer_objects", "Objects in an informer's cache.", ["resource"])
INFORMER_RELISTS = Counter("wherry_informer_lists_total", "Full lists an informer made.", ["resource"])
INFORMER_UNDECODABLE = Gauge(
    "wherry_informer_undecodable_objects", "Objects whose newest revision an informer cannot decode.", ["resource"]
)
INFORMER_FAILURES = Counter(
    "wherry_informer_failures_total",
    "Objects that an informer could not decode or index, and handlers and wakes that raised.",
    ["resource", "what"],
)
EVENTS_DROPPED = Counter("wherry_events_dropped_total", "Events not sent because too many waited.")
LEADER = Gauge("wherry_leader", "1 while this process leads.", ["lease"])


@asynccontextmanager
async def serve_health(
    host: str, port: int, *, checks: Mapping[str, Check] | None = None, metrics: bool = True
) -> AsyncIterator[int]:
    """Serve `/healthz`, `/livez`, `/readyz` and, if wanted, `/metrics` over plain HTTP; yields the port in use.

    Meant for loopback: there is no authentication here.
    """
    parts = (PING, *(Part(name=name, check=check) for name, check in (checks or {}).items()))

    async def health(request: web.Request) -> web.Response:
        query, path = request.query, request.match_info
        found = respond(
            path["endpoint"],
            parts,
            only=path.get("check", ""),
            verbose="verbose" in query,
            excluded=query.getall("exclude", []),
        )
        if found is None:
            return web.Response(status=404, text="404 page not found\n")
        status, text = found
        return web.Response(status=status, text=text, headers={"X-Content-Type-Options": "nosniff"})

    app = web.Application()
    for path in ("/{endpoint:healthz|livez|readyz}", "/{endpoint:healthz|livez|readyz}/{check}"):
        app.router.add_get(path, health)
    if metrics:
        app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def render() -> tuple[bytes, str]:
    """The exposition of every metric and its content type; in a thread, since many label sets take tens of ms."""
    return await asyncio.to_thread(generate_latest, REGISTRY), CONTENT_TYPE_LATEST


async def _metrics(request: web.Request) -> web.Response:
    body, content_type = await render()
    return web.Response(body=body, headers={"Content-Type": content_type})
