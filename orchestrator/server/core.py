"""What all endpoints share: the parts of the running server, and one call that is being answered."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from orchestrator.api.kinds import Kind, Kinds
from orchestrator.api.objects import Object
from orchestrator.api.schema.served import schema_of_kind
from orchestrator.api.schema.shapes import Schema
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import BadRequest
from orchestrator.server import refusals
from orchestrator.server.admission.base import Admission
from orchestrator.server.authentication.base import Authenticated, User
from orchestrator.server.authorization.base import Authorizer
from orchestrator.server.gate.gate import NO_SEAT, Seat
from orchestrator.server.gate.levels import Level
from orchestrator.server.negotiation import Accepted
from orchestrator.server.requests import Request
from orchestrator.server.served import Served
from orchestrator.server.service_addresses import ServiceAddresses
from orchestrator.server.watch_cache import WatchCache
from orchestrator.server.writing.claims import Ledgers
from orchestrator.server.writing.templates import Templates
from orchestrator.store.base import Store


class TokenIssuer(Protocol):
    """Answers `serviceaccounts/token`."""

    def issue(self, request: Object, *, namespace: str, name: str) -> Object: ...


class Authenticates(Protocol):
    """What a TokenReview asks; see `authentication.base.Authenticator`."""

    def authenticate(self, credentials: Any) -> Authenticated | None: ...


#: Forwards a connect subresource (logs, exec …) to the node agent.
Forward = Callable[[web.BaseRequest, Request, WatchCache], Awaitable[web.StreamResponse]]
#: The status of a SelfSubjectRulesReview.
RulesOf = Callable[[User, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The parts of the server."""

    store: Store
    cache: WatchCache
    served: Served
    authenticator: Authenticates
    authorizer: Authorizer
    admission: Admission
    addresses: ServiceAddresses
    ledgers: Ledgers
    templates: Templates
    clock: Clock
    dice: random.Random
    issuer: TokenIssuer | None = None
    rules_of: RulesOf | None = None
    forward: Forward | None = None
    documents: Mapping[str, Object] = field(default_factory=dict)
    #: How often a watch that asked for bookmarks gets one.
    bookmark_every_s: float = 60.0
    #: How long a write is waited for.
    commit_s: float = 60.0
    #: False while the objects that a cluster starts with are being written: alive, but not ready.
    has_started: Callable[[], bool] = lambda: True
    #: Where what takes long (large bodies) is done, so that others keep the event loop.
    large: BlockingCalls = field(default_factory=lambda: BlockingCalls("large-bodies", threads=2))


@dataclass(slots=True)
class Call:
    """One request being answered. `warnings` go out as headers with whatever the answer is.

    `kinds` are those that were served when it came: all its parts see the same.
    `user` is whom it is answered as, `impersonator` who that really is if it is somebody else. `body` is there before
    an endpoint is called. `seat` is held until the answer is out; an endpoint that answers for long gives it back.
    """

    core: Core
    kinds: Kinds
    http: web.BaseRequest
    request: Request
    user: User
    accepted: Accepted
    body: bytes = b""
    impersonator: User | None = None
    seat: Seat = NO_SEAT
    #: What the gate made of it, and when (monotonic); None as long as it has not come so far.
    level: Level | None = None
    seated: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """The row of the resource; endpoints of resources are called only when there is one."""
        kind = self.request.kind
        if self.request.fault:
            raise BadRequest(self.request.fault)
        if kind is None:
            raise refusals.no_such_resource()
        return kind

    def schema_of(self, api_version: str, kind: str) -> Schema:
        """The schema of what a request carries; raises `UnknownSchema`."""
        return schema_of_kind(self.kinds, api_version, kind)

    @property
    def is_dry_run(self) -> bool:
        return self.request.query.get("dryRun", "") == "All"

    def warn(self, *texts: str) -> None:
        """Tell the client something though its request succeeds."""
        self.warnings.extend(texts)
