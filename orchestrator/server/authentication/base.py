"""What authentication takes and gives: credentials in, a user out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody the API server knows, as `user.Info` of Kubernetes has it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


class Credentials(msgspec.Struct, frozen=True):
    """What a request brought to prove who sends it; both may be absent.

    `certificate` is what `ssl.SSLObject.getpeercert()` gives, already verified against the cluster's CA.
    `bearer_token` is what follows `Authorization: Bearer `.
    """

    certificate: Mapping[str, Any] | None = None
    bearer_token: str = ""


class Authenticator(Protocol):
    """One link of the chain, or the chain itself. Synchronous and fast: called for every request."""

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None if these credentials are not of this authenticator's sort.

        Raises `Unauthorized` for credentials of its sort that prove nothing.
        """
        ...
