"""Client certificates: the common name is the user, organizations are the groups, as kubeadm's certificates have it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.machinery.clock import Clock, timestamp
from orchestrator.machinery.errors import Unauthorized
from orchestrator.server.authentication.base import Authenticated, Credentials, User


class CertificateAuthenticator:
    """Trusts what TLS has verified: issued by the cluster's CA, for clients. Its time is looked at again each time.

    A connection may be open for longer than the certificate holds that it began with.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        certificate = credentials.certificate
        if certificate is None:
            return None
        names: list[str] = []
        groups: list[str] = []
        for key, value in _subject(certificate):
            if key == "commonName":
                names.append(value)
            elif key == "organizationName":
                groups.append(value)
        if not names or not names[0]:
            return None
        check_time(certificate, names[0], now=self._clock.now())
        return Authenticated(User(names[0], tuple(groups)))


def validity(certificate: Mapping[str, Any]) -> tuple[float, float]:
    """From when until when a certificate holds."""
    return ssl.cert_time_to_seconds(certificate["notBefore"]), ssl.cert_time_to_seconds(certificate["notAfter"])


def check_time(certificate: Mapping[str, Any], name: str, *, now: float) -> None:
    """Raises `Unauthorized` for a certificate that does not hold yet, or no longer."""
    begins, ends = validity(certificate)
    if now < begins:
        raise Unauthorized(
            f"the certificate of '{name}' is valid from {timestamp(begins)} on, and by this machine's clock it is "
            f"{timestamp(now)}: is the clock right?"
        )
    if now > ends:
        raise Unauthorized(f"the certificate of '{name}' expired at {timestamp(ends)}; it is {timestamp(now)} here")


def _subject(certificate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # ((('organizationName', 'system:masters'),), (('commonName', 'kubernetes-admin'),))
    for relative_name in certificate.get("subject", ()):
        yield from relative_name
