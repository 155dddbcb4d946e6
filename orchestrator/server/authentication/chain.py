"""The chain: the first authenticator that knows the sort of credentials decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import Unauthorized
from orchestrator.machinery.log import Sparing, get_logger
from orchestrator.server.authentication.base import AUTHENTICATED, Authenticated, Authenticator, Credentials, User
from orchestrator.server.authentication.certificate import validity
from orchestrator.server.tokens import ISSUER

logger = get_logger(__name__)

# Of a reason, what is ours: tokens and names come later in the sentence, and anybody can think of new ones.
_SORT_LENGTH = 16
_REMEMBERED_MAX = 16_384  # certificates' subjects: three times the largest cluster's nodes


class _Known(NamedTuple):
    """A certificate that was looked at, and when it holds."""

    who: Authenticated
    begins: float
    ends: float


class AuthenticatorChain:
    """Asks each link in order. Whom it returns is in the group `system:authenticated`, with the audiences that fit.

    None means that the request brought no credentials at all: whether nobody may ask is then authorization's decision.
    Credentials that no link accepts raise `Unauthorized`, whose text says no more than Kubernetes' does.
    `audiences` is who the API server is.
    """

    def __init__(self, links: Sequence[Authenticator], clock: Clock, *, audiences: Sequence[str] = (ISSUER,)) -> None:
        self._links = tuple(links)
        self._clock = clock
        self._audiences = tuple(audiences)
        self._sparing = Sparing(clock)
        self._by_certificate: dict[Any, _Known] = {}

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        certificate = credentials.certificate
        if certificate is None or credentials.bearer_token:
            return self._ask(credentials)
        # Most requests come with a certificate alone, and its subject says who that is: TLS has verified the rest, but
        # for its time, which may pass while the connection is open.
        key = certificate.get("subject"), certificate.get("notBefore"), certificate.get("notAfter")
        known = self._by_certificate.get(key)
        if known is not None and known.begins <= self._clock.now() <= known.ends:
            return known.who
        who = self._ask(credentials)
        if who is not None:
            if len(self._by_certificate) >= _REMEMBERED_MAX:
                self._by_certificate.clear()
            self._by_certificate[key] = _Known(who, *validity(certificate))
        return who

    def _ask(self, credentials: Credentials) -> Authenticated | None:
        refused = ""
        for link in self._links:
            try:
                who = link.authenticate(credentials)
                if who is not None:
                    return self._admitted(who, credentials)
            except Unauthorized as exc:
                refused = exc.message
        if credentials.certificate is None and not credentials.bearer_token:
            return None
        # The reason helps the operator; told to the client, it would help whoever is guessing.
        if (more := self._sparing.admits(refused[:_SORT_LENGTH])) is not None:
            why = refused or "no authenticator knows these credentials"
            logger.info("authentication.refused", why=why, unlogged=more)
        raise Unauthorized("Unauthorized")

    def _admitted(self, who: Authenticated, credentials: Credentials) -> Authenticated:
        """With the audiences that they are meant for and shown to. Raises `Unauthorized` if there are none."""
        user = User(who.user.name, (*who.user.groups, AUTHENTICATED), who.user.uid, who.user.extra)
        if not who.audiences and not credentials.audiences:
            return Authenticated(user, self._audiences)  # nearly everybody
        meant = who.audiences or self._audiences
        shown_to = credentials.audiences or self._audiences
        fitting = tuple(audience for audience in meant if audience in shown_to)
        if not fitting:
            raise Unauthorized(f"token audiences {list(meant)} is invalid for the target audiences {list(shown_to)}")
        return Authenticated(user, fitting)
