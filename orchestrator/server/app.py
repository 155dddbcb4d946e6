"""The API server put together: from a connection's request to its answer, and the outermost error handler."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from aiohttp import web

from orchestrator.api.doors import Leads
from orchestrator.api.kinds import SERVICE_ADDRESSES
from orchestrator.api.objects import Object
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import (
    ApiError,
    Forbidden,
    GatewayTimeout,
    InternalError,
    Unauthorized,
)
from orchestrator.machinery.log import get_logger
from orchestrator.server import refusals, yaml_answers
from orchestrator.server.address_repair import keep_repaired, repair
from orchestrator.server.admission.base import Admission
from orchestrator.server.answers import Answer, DirectResponse
from orchestrator.server.authentication import impersonation
from orchestrator.server.authentication.base import ANONYMOUS, Credentials, token_of
from orchestrator.server.authorization.base import Attributes, Authorizer
from orchestrator.server.authorization.chain import refusal
from orchestrator.server.authorization.questions import attributes_of
from orchestrator.server.connections import ConnectionLimits, listening
from orchestrator.server.core import Authenticates, Call, Core, Forward, RulesOf, TokenIssuer
from orchestrator.server.endpoints import deletes, reads, reviews, subresources, system, watch, writes
from orchestrator.server.expiry import expire_events
from orchestrator.server.gate.gate import NO_SEAT, Gate, GateLimits, Streams
from orchestrator.server.gate.intake import Intake, IntakeLimits
from orchestrator.server.gate.levels import level_of
from orchestrator.server.gate.record import Record, observe
from orchestrator.server.http import Connection
from orchestrator.server.negotiation import accepted
from orchestrator.server.requests import Request, parse
from orchestrator.server.served import Served
from orchestrator.server.service_addresses import ServiceAddresses
from orchestrator.server.watch_cache import WatchCache
from orchestrator.server.writing import options
from orchestrator.server.writing.templates import Templates
from orchestrator.store.base import Store

logger = get_logger(__name__)

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
_WITH_BODY = frozenset(("create", "update", "patch", "delete", "deletecollection"))
_OF_ONE_OBJECT = frozenset(("get", "update", "patch", "delete"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What the API server needs to know besides its parts."""

    service_cidr: str = "10.96.0.0/16"
    """Where ClusterIPs come from."""
    node_ports: tuple[int, int] = (30000, 32767)
    """The first and the last node port."""
    gate: GateLimits = field(default_factory=GateLimits)
    """How many requests are answered, and wait, at once."""
    streams: int = 1000
    """Logs, exec, attach and port-forward going on at once; connections to node agents are not many more."""
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    """How many connections there may be, and how long each may take for what."""
    intake: IntakeLimits = field(default_factory=IntakeLimits)
    """How large, how many and how slow bodies may be."""
    bookmark_every_s: float = 60.0
    """Between a watch's bookmarks: often enough that a client which comes back finds its revision in the window."""
    commit_s: float = 60.0
    """How long the store may take for a write before its request is given up; Kubernetes' limit of a request."""


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
    core = Core(
        store=store,
        cache=cache,
        served=Served(cache),
        authenticator=authenticator,
        authorizer=authorizer,
        admission=admission,
        addresses=addresses,
        ledgers={SERVICE_ADDRESSES: addresses},
        templates=Templates(admission, dice),
        clock=clock,
        dice=dice,
        issuer=issuer,
        rules_of=rules_of,
        forward=forward,
        documents=documents or {},
        bookmark_every_s=chosen.bookmark_every_s,
        commit_s=chosen.commit_s,
        has_started=has_started,
    )
    return ApiServer(core, chosen)


class ApiServer:
    """Answers requests. `serving` opens the socket."""

    def __init__(self, core: Core, settings: ServerSettings) -> None:
        self.core = core
        self.connection_limits = settings.connections
        self._gate = Gate(settings.gate)
        self._intake = Intake(settings.intake)
        self._forwarded = Streams(settings.streams)
        self._streams: set[asyncio.Task[Any]] = set()

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """The one handler of every request: its answer, written, or the `Status` of what went wrong."""
        began = self.core.clock.monotonic()
        kinds = self.core.served.kinds
        request = parse(kinds, http.method, http._message.path)  # as it came: the parsed URL costs more than the answer
        call = Call(self.core, kinds, http, request, ANONYMOUS, accepted(http.headers.get("Accept", "")))
        answer: Answer | web.StreamResponse | None = None
        try:
            answer = await self._answer(call)
            if not isinstance(answer, Answer):
                return answer  # it has written itself
            if call.accepted.is_yaml:
                answer = await yaml_answers.rewritten(answer, call.core.large)
            response = DirectResponse(answer, call.warnings)
            await response.send(http)
            return response
        except ConnectionError:
            return _cut(http)  # the client is gone: nobody to tell, and nothing to log
        except Exception:
            # Half of the answer is out: all that is left to say is that the rest will not come.
            logger.exception("request.broken_off", method=http.method, path=request.path)
            return _cut(http)
        finally:
            # Only now is the answer out: its seat and its body's room are free for others.
            call.seat.give_back()
            if call.body:
                self._intake.give_back(len(call.body), call.user.name)
            if answer is not None:
                observe(_record(call, answer, began=began, ended=self.core.clock.monotonic()))

    async def _answer(self, call: Call) -> Answer | web.StreamResponse:
        """The answer, which may be a refusal. Raises only `ConnectionError`."""
        try:
            return await self._pass(call)
        except ApiError as exc:
            return Answer.of_error(exc)
        except TimeoutError:
            return Answer.of_error(GatewayTimeout("the request could not be answered in time"))
        except ConnectionError:
            raise
        except Exception:
            logger.exception("request.failed", method=call.request.method, path=call.request.path)
            return Answer.of_error(InternalError("Internal error occurred: the server's log says more"))

    async def _pass(self, call: Call) -> Answer | web.StreamResponse:
        """Let a request through every stage: who asks, may they, the body, a seat, the endpoint."""
        request = call.request
        try:
            attributes = self._admit_user(call)
        except (Unauthorized, Forbidden):
            # Tokens, and what nodes may read, are objects: this one may only just be there.
            if not await self.core.cache.wait_fresh():
                raise
            attributes = self._admit_user(call)
        verb, kind = request.verb, request.kind
        if request.resource:
            if kind is None or (kind.resource.namespaced is False and _is_misplaced(request)):
                raise refusals.no_such_resource()
            door = kind.door(request.subresource) if request.subresource else None
            if isinstance(door, Leads) and self.core.forward:
                if verb not in door.verbs or not request.name:
                    raise refusals.not_allowed()
                await self.core.cache.wait_fresh()  # the pod may have been made, or bound, by the request before
                with self._forwarded.seated(level_of(attributes), call.user.name):
                    return await self._stream(self.core.forward(call.http, request, self.core.cache))
        level, flow = level_of(attributes), call.user.name
        has_body = bool(request.resource) and verb in _WITH_BODY
        if has_body:
            call.body = await self._intake.read(call.http, level, flow)
        call.seat = NO_SEAT if level.is_exempt else await self._gate.enter(level, flow)
        call.level, call.seated = level, self.core.clock.monotonic()
        if not request.resource:
            return await system.answer(call)
        if verb == "watch" and not request.subresource and kind is not None and verb in kind.verbs:
            return await self._stream(watch.watch(call))
        if has_body:
            await self.core.cache.wait_fresh()  # admission reads the cache
        return await self._dispatch(call)

    async def _dispatch(self, call: Call) -> Answer | web.StreamResponse:
        request, kind = call.request, call.kind
        options.check(request.verb, request.query)
        if request.subresource:
            return await subresources.answer(call)
        if request.verb not in kind.verbs or request.verb not in _ENDPOINTS:
            raise refusals.not_allowed()
        if bool(request.name) is not (request.verb in _OF_ONE_OBJECT):
            # A POST to a name would create whatever name the body has, past what was authorized.
            raise refusals.not_allowed()
        if kind.resource.namespaced and not request.namespace and (request.name or request.verb == "create"):
            raise refusals.no_such_resource() if request.name else refusals.not_allowed()
        if kind.virtual:
            return await reviews.create(call)
        return await _ENDPOINTS[request.verb](call)

    def _admit_user(self, call: Call) -> Attributes:
        """Authentication and authorization. Raises `Unauthorized` or `Forbidden`."""
        http = call.http
        certificate = http.transport.get_extra_info("peercert") if http.transport is not None else None
        token = token_of(http.headers.get("Authorization", ""))
        who = self.core.authenticator.authenticate(Credentials(certificate or None, token))
        # Whoever shows nothing is somebody, too: what nobody in particular may do is authorization's decision.
        call.user = user = who.user if who is not None else ANONYMOUS
        if who is not None:
            cast(Connection, http.protocol).know(user)
        if (target := impersonation.wanted(http.headers)) is not None:
            call.impersonator = user
            call.user = user = impersonation.impersonated(user, target, self.core.authorizer)
        attributes = attributes_of(call.request, user)
        verdict = self.core.authorizer.authorize(attributes)
        if not verdict.allowed:
            raise refusal(attributes, verdict)
        return attributes

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


def _record(call: Call, answer: Answer | web.StreamResponse, *, began: float, ended: float) -> Record:
    return Record(
        call.request,
        call.user,
        call.impersonator,
        call.body,
        call.level,
        answer if isinstance(answer, Answer) else None,
        answer.status,
        began,
        call.seated,
        ended,
    )


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

    async with asyncio.TaskGroup() as group:
        core = server.core
        following = group.create_task(core.cache.run(), name="watch-cache")
        living = group.create_task(core.store.wait_failed(), name="store")
        expiring = group.create_task(expire_events(core.store, core.cache, core.clock), name="event-expiry")
        # Before anybody is answered: whoever asks for an address must find all that are taken.
        await repair(core.store, core.cache, core.addresses, core.clock, core.dice)
        repairing = group.create_task(
            keep_repaired(core.store, core.cache, core.addresses, core.clock, core.dice), name="address-repair"
        )
        try:
            async with listening(
                server.handle, host=host, port=port, tls=tls, limits=server.connection_limits, clock=core.clock
            ) as bound:
                logger.info("server.listening", host=host, port=bound, tls=tls is not None)
                try:
                    yield bound
                finally:
                    server.end_streams()
        finally:
            following.cancel()
            living.cancel()
            expiring.cancel()
            repairing.cancel()
