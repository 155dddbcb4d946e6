"""What authentication takes and gives: credentials in, a user out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"


class User(msgspec.Struct, frozen=True):
    """Somebody the API server knows, as `user.Info` of Kubernetes has it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


class Authenticated(msgspec.Struct, frozen=True):
    """Who somebody is, and for whom the credentials that say so are meant.

    Without `audiences`, they say nothing of it: then they are for the API server itself.
    """

    user: User
    audiences: tuple[str, ...] = ()


class Credentials(msgspec.Struct, frozen=True):
    """What a request brought to prove who sends it; both may be absent.

    `certificate` is what `ssl.SSLObject.getpeercert()` gives, verified against the cluster's CA when the connection
    was made. `bearer_token` is what follows `Authorization: Bearer `, whatever characters that are. `audiences` is who
    the credentials are shown to; empty is the API server itself.
    """

    certificate: Mapping[str, Any] | None = None
    bearer_token: str = ""
    audiences: tuple[str, ...] = ()


def token_of(header: str) -> str:
    """The bearer token of an `Authorization` header, empty if there is none; read as Kubernetes reads it."""
    parts = header.strip().split(" ", 2)
    return parts[1] if len(parts) > 1 and parts[0].lower() == "bearer" else ""


class Authenticator(Protocol):
    """One link of the chain, or the chain itself. Synchronous and fast: called for every request."""

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        """Who that is, or None if these credentials are not of this authenticator's sort.

        A link of the chain tells all audiences of the credentials; the chain sees whether they are the right ones, and
        tells those that are. Raises `Unauthorized` for credentials of its sort that prove nothing.
        """
        ...
