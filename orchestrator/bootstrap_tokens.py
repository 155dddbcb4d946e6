"""Bootstrap tokens in kubeadm's form, and the Secret by which the API server knows one. Pure."""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.machinery.clock import timestamp

NAMESPACE = "kube-system"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
NAME_PREFIX = "bootstrap-token-"
_ALPHABET = string.ascii_lowercase + string.digits
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")


class BadToken(ValueError):
    """Not in the form `abcdef.0123456789abcdef`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What is shown of a token: everything but its secret half."""

    token_id: str
    description: str = ""
    expiration: str = ""
    usages: tuple[str, ...] = ()


def new_token() -> str:
    """A fresh token: six letters that name it, sixteen that are the secret (82 bits)."""
    return ".".join("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (6, 16))


def token_id_of(token: str) -> str:
    """The naming half. Raises `BadToken`."""
    match = _FORM.fullmatch(token)
    if match is None:
        raise BadToken("a token has the form abcdef.0123456789abcdef: small letters and digits")
    return match.group(1)


def secret_of(token: str, *, expires_at: float | None, description: str = "") -> dict[str, Any]:
    """The Secret of a token; `expires_at` None: it is good for ever."""
    data = {
        "token-id": token_id_of(token),
        "token-secret": token.partition(".")[2],
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:wherry:nodes",
    }
    if expires_at is not None:
        data["expiration"] = timestamp(expires_at)
    if description:
        data["description"] = description
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME_PREFIX + token_id_of(token), "namespace": NAMESPACE},
        "type": SECRET_TYPE,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def facts_of(secret: Mapping[str, Any]) -> TokenFacts | None:
    """What a Secret says of its token, or None if it is no token's."""
    if secret.get("type") != SECRET_TYPE:
        return None
    data = {key: base64.b64decode(value).decode(errors="replace") for key, value in (secret.get("data") or {}).items()}
    prefix = "usage-bootstrap-"
    return TokenFacts(
        token_id=data.get("token-id", ""),
        description=data.get("description", ""),
        expiration=data.get("expiration", ""),
        usages=tuple(sorted(k.removeprefix(prefix) for k, v in data.items() if k.startswith(prefix) and v == "true")),
    )
