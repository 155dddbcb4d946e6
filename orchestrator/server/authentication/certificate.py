"""Client certificates: the common name is the user, organizations are the groups, as kubeadm's certificates have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.server.authentication.base import Credentials, User


class CertificateAuthenticator:
    """Trusts what TLS has verified: issued by the cluster's CA, for clients, in time."""

    def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.certificate is None:
            return None
        names: list[str] = []
        groups: list[str] = []
        for key, value in _subject(credentials.certificate):
            if key == "commonName":
                names.append(value)
            elif key == "organizationName":
                groups.append(value)
        if not names or not names[0]:
            return None
        return User(names[0], tuple(groups))


def _subject(certificate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # ((('organizationName', 'system:masters'),), (('commonName', 'kubernetes-admin'),))
    for relative_name in certificate.get("subject", ()):
        yield from relative_name
