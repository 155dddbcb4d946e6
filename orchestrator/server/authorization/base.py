"""What authorization takes and gives: the attributes of a request in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from orchestrator.server.authentication.base import User


class Attributes(msgspec.Struct, frozen=True):
    """What a request is about to do. A request for no resource (`/version`) has only `user`, `verb` and `path`.

    `field_selector` is the raw text of a list's or watch's selector: the Node rules depend on it.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""


class Decision(Enum):
    """The three answers an authorizer has."""

    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and, for whoever is refused, why."""

    decision: Decision
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOW


ALLOW = Verdict(Decision.ALLOW)
NO_OPINION = Verdict(Decision.NO_OPINION)


def deny(reason: str) -> Verdict:
    """Refuse, and end the chain."""
    return Verdict(Decision.DENY, reason)


class Authorizer(Protocol):
    """One link of the chain, or the chain itself. Synchronous: called for every request."""

    def authorize(self, attributes: Attributes) -> Verdict: ...
