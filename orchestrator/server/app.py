"""The API server put together: from a connection's request to its answer, and the outermost error handler."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from aiohttp import web

from orchestrator.api.objects import Object
from orchestrator.api.resources import SERVICES
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import (
    ApiError,
    Forbidden,
    GatewayTimeout,
    InternalError,
    TooManyRequests,
    Unauthorized,
)
from orchestrator.machinery.log import get_logger
from orchestrator.server import metrics, refusals
from orchestrator.server.admission.base import Admission
from orchestrator.server.allocation import ServiceAddresses
from orchestrator.server.answers import Answer, DirectResponse
from orchestrator.server.authentication import impersonation
from orchestrator.server.authentication.base import ANONYMOUS, Credentials
from orchestrator.server.authorization.base import Authorizer
from orchestrator.server.authorization.chain import refusal
from orchestrator.server.authorization.questions import attributes_of
from orchestrator.server.bodies import BODY_BYTES_MAX
from orchestrator.server.core import Authenticates, Call, Core, Forward, RulesOf, TokenIssuer
from orchestrator.server.endpoints import deletes, reads, reviews, subresources, system, watch, writes
from orchestrator.server.expiry import expire_events
from orchestrator.server.negotiation import accepted
from orchestrator.server.requests import Request, parse
from orchestrator.server.served import Served
from orchestrator.server.watch_cache import WatchCache
from orchestrator.store.base import Store

logger = get_logger(__name__)

_READING = frozenset(("get", "list", "watch", "head", "options"))
#: Subresources that the node agents answer.
_FORWARDED = frozenset(("log", "exec", "attach", "portforward", "proxy"))
_SHUTDOWN_S = 3.0

_ENDPOINTS: Mapping[str, Callable[[Call], Awaitable[Answer | web.StreamResponse]]] = {
    "get": reads.get,
    "list": reads.list_,
    "watch": watch.watch,
    "create": writes.create,
    "update": writes.update,
    "patch": writes.patch,
    "delete": deletes.delete,
    "deletecollection": deletes.delete_collection,
}
_KNOWN_VERBS = frozenset((*_ENDPOINTS, *_READING, "post", "put"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What the API server needs to know besides its parts."""

    service_cidr: str = "10.96.0.0/16"
    """Where ClusterIPs come from."""
    node_ports: tuple[int, int] = (30000, 32767)
    """The first and the last node port."""
    reads_max: int = 400
    """Reads in flight at once; more are told to come again. Watches and streams do not count. Kubernetes' default."""
    writes_max: int = 400
    """Writes in flight at once. They share commits, so twice Kubernetes' default is still quick."""
    bookmark_every_s: float = 60.0
    """Between a watch's bookmarks: often enough that a client which comes back finds its revision in the window."""


def build_server(
    *,
    store: Store,
    cache: WatchCache,
    authenticator: Authenticates,
    authorizer: Authorizer,
    admission: Admission,
    clock: Clock,
    dice: Random,
    settings: ServerSettings | None = None,
    issuer: TokenIssuer | None = None,
    rules_of: RulesOf | None = None,
    forward: Forward | None = None,
    documents: Mapping[str, Object] | None = None,
    has_started: Callable[[], bool] = lambda: True,
) -> ApiServer:
    """Put the server together. `cache` is the store's, and started: its objects are what the other parts read.

    `documents` are plain JSON documents by path (OpenID discovery).
    """
    chosen = settings or ServerSettings()
    addresses = ServiceAddresses(service_cidr=chosen.service_cidr, node_ports=chosen.node_ports)
    for value in cache.list(SERVICES):
        addresses.observe(None, value)
    cache.subscribe(SERVICES, addresses.observe)
    core = Core(
        store=store,
        cache=cache,
        served=Served(cache),
        authenticator=authenticator,
        authorizer=authorizer,
        admission=admission,
        addresses=addresses,
        clock=clock,
        dice=dice,
        issuer=issuer,
        rules_of=rules_of,
        forward=forward,
        documents=documents or {},
        bookmark_every_s=chosen.bookmark_every_s,
        has_started=has_started,
    )
    return ApiServer(core, chosen)


class _InFlight:
    """Requests of one sort being answered, and how many may be."""

    __slots__ = ("count", "limit", "name")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.count = 0
        metrics.IN_FLIGHT.labels(name).set_function(lambda: self.count)


class ApiServer:
    """Answers requests. `serving` opens the socket."""

    def __init__(self, core: Core, settings: ServerSettings) -> None:
        self.core = core
        self._reads = _InFlight("read", settings.reads_max)
        self._writes = _InFlight("write", settings.writes_max)
        self._streams: set[asyncio.Task[Any]] = set()

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """The one handler of every request: its answer, or the `Status` of what went wrong."""
        clock = self.core.clock
        began = clock.monotonic()
        kinds = self.core.served.kinds
        request = parse(kinds, http.method, http._message.path)  # as it came: the parsed URL costs more than the answer
        call = Call(self.core, kinds, http, request, ANONYMOUS, accepted(http.headers.get("Accept", "")))
        try:
            answer = await self._answer(call)
        except ApiError as exc:
            answer = Answer.of_error(exc)
        except TimeoutError:
            answer = Answer.of_error(GatewayTimeout("the request could not be answered in time"))
        except ConnectionError:
            return _cut(http)  # the client is gone: nobody to tell, and nothing to log
        except Exception as exc:
            logger.exception("request.failed", method=http.method, path=request.path)
            answer = Answer.of_error(InternalError(f"Internal error occurred: {type(exc).__name__}"))
        # A client may send any method: labels must not grow with what it thinks of.
        verb = request.verb if request.verb in _KNOWN_VERBS else "other"
        resource = request.resource if request.kind is not None else ""
        metrics.counter_of(verb, resource, answer.status).inc()
        if not isinstance(answer, Answer):
            return answer
        metrics.seconds_of(verb, resource).observe(clock.monotonic() - began)
        return DirectResponse(answer, call.warnings)

    async def _answer(self, call: Call) -> Answer | web.StreamResponse:
        request = call.request
        try:
            self._admit_user(call)
        except (Unauthorized, Forbidden):
            # Tokens, and what nodes may read, are objects: this one may only just be there.
            if not await self.core.cache.wait_fresh():
                raise
            self._admit_user(call)
        verb, subresource = request.verb, request.subresource
        if not request.resource:
            return await system.answer(call)
        kind = request.kind
        if kind is None or (kind.resource.namespaced is False and _is_misplaced(request)):
            raise refusals.no_such_resource()
        if subresource in _FORWARDED and subresource in kind.connect and self.core.forward is not None:
            await self.core.cache.wait_fresh()  # the pod may have been made, or bound, by the request before
            return await self._stream(self.core.forward(call.http, request, self.core.cache))
        if verb == "watch" and not subresource:
            return await self._stream(watch.watch(call))
        in_flight = self._reads if verb in _READING else self._writes
        if in_flight.count >= in_flight.limit:
            metrics.REJECTED.labels(in_flight.name).inc()
            raise TooManyRequests("Too many requests, please try again later.", retry_after_s=1)
        in_flight.count += 1
        try:
            if in_flight is self._writes:
                await self.core.cache.wait_fresh()  # admission reads the cache
            return await self._dispatch(call)
        finally:
            in_flight.count -= 1

    async def _dispatch(self, call: Call) -> Answer | web.StreamResponse:
        request, kind = call.request, call.kind
        if request.subresource:
            return await subresources.answer(call)
        if request.verb not in kind.verbs or request.verb not in _ENDPOINTS:
            raise refusals.not_allowed()
        if kind.resource.namespaced and not request.namespace and (request.name or request.verb == "create"):
            raise refusals.no_such_resource() if request.name else refusals.not_allowed()
        if kind.virtual:
            return await reviews.create(call)
        return await _ENDPOINTS[request.verb](call)

    def _admit_user(self, call: Call) -> None:
        """Authentication and authorization. Raises `Unauthorized` or `Forbidden`."""
        header = call.http.headers.get("Authorization", "")
        token = header[7:].strip() if header[:7].lower() == "bearer " else ""
        transport = call.http.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        user = self.core.authenticator.authenticate(Credentials(certificate or None, token))
        if user is not None and (target := impersonation.wanted(call.http.headers)) is not None:
            user = impersonation.impersonated(user, target, self.core.authorizer)
        attributes = attributes_of(call.request, user or ANONYMOUS)
        verdict = self.core.authorizer.authorize(attributes)
        if not verdict.allowed:
            if user is None:
                raise Unauthorized("Unauthorized")
            raise refusal(attributes, verdict)
        call.user = user or ANONYMOUS

    async def _stream(self, streaming: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """Answer for long, until the server stops."""
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            return await streaming
        finally:
            self._streams.discard(task)

    def end_streams(self) -> None:
        """Cut all watches and streams; clients come back elsewhere, or later."""
        for task in list(self._streams):
            task.cancel()


def _cut(http: web.BaseRequest) -> web.StreamResponse:
    """End the connection; aiohttp wants an answer all the same."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response()


def _is_misplaced(request: Request) -> bool:
    """Whether a resource without namespaces was asked for within one."""
    return bool(request.namespace) and request.resource != "namespaces"


@asynccontextmanager
async def serving(server: ApiServer, *, host: str, port: int, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Follow the store and answer on a socket until the block ends; yields the port in use.

    Without `tls` there is no certificate to know a client by: for tests and loopback only.
    """

    def request_of(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=BODY_BYTES_MAX
        )

    listener = web.Server(
        server.handle, request_factory=request_of, handler_cancellation=True, access_log=None, keepalive_timeout=90.0
    )
    runner = web.ServerRunner(listener, shutdown_timeout=_SHUTDOWN_S)
    async with asyncio.TaskGroup() as group:
        core = server.core
        following = group.create_task(core.cache.run(), name="watch-cache")
        expiring = group.create_task(expire_events(core.store, core.cache, core.clock), name="event-expiry")
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024, reuse_address=True)
            await site.start()
            address: Any = runner.addresses[0]
            logger.info("server.listening", host=host, port=address[1], tls=tls is not None)
            yield address[1]
        finally:
            server.end_streams()
            await runner.cleanup()
            following.cancel()
            expiring.cancel()
            core.large.close()
