"""The chain: the first authenticator that knows the sort of credentials decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.machinery.errors import Unauthorized
from orchestrator.machinery.log import get_logger
from orchestrator.server.authentication.base import AUTHENTICATED, Authenticator, Credentials, User

logger = get_logger(__name__)

_REMEMBERED_MAX = 16_384  # certificates' subjects: three times the largest cluster's nodes


class AuthenticatorChain:
    """Asks each link in order. What it returns is in the group `system:authenticated`.

    None means that the request brought no credentials at all: whether nobody may ask is then authorization's decision.
    Credentials that no link accepts raise `Unauthorized`, whose text says no more than Kubernetes' does.
    """

    def __init__(self, links: Sequence[Authenticator]) -> None:
        self._links = tuple(links)
        self._by_subject: dict[Any, User] = {}

    def authenticate(self, credentials: Credentials) -> User | None:
        certificate = credentials.certificate
        if certificate is None or credentials.bearer_token:
            return self._ask(credentials)
        # Most requests come with a certificate alone, and its subject says who that is: TLS has verified the rest.
        subject = certificate.get("subject")
        user = self._by_subject.get(subject)
        if user is None:
            user = self._ask(credentials)
            if user is not None:
                if len(self._by_subject) >= _REMEMBERED_MAX:
                    self._by_subject.clear()
                self._by_subject[subject] = user
        return user

    def _ask(self, credentials: Credentials) -> User | None:
        refused = ""
        for link in self._links:
            try:
                user = link.authenticate(credentials)
            except Unauthorized as exc:
                refused = exc.message
                continue
            if user is not None:
                return replace(user, groups=(*user.groups, AUTHENTICATED))
        if credentials.certificate is None and not credentials.bearer_token:
            return None
        # The reason helps the operator; told to the client, it would help whoever is guessing.
        logger.info("authentication.refused", why=refused or "no authenticator knows these credentials")
        raise Unauthorized("Unauthorized")
