"""Bootstrap tokens: what a machine joins with. Each is a Secret in kube-system, in kubeadm's form."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.api.codec import decode
from orchestrator.api.resources import SECRETS
from orchestrator.machinery.clock import Clock, parse_timestamp
from orchestrator.machinery.errors import Unauthorized
from orchestrator.server.admission.base import Objects
from orchestrator.server.authentication.base import Authenticated, Credentials, User

SECRET_TYPE = "bootstrap.kubernetes.io/token"
NAME_PREFIX = "bootstrap-token-"
GROUP = "system:bootstrappers"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokenAuthenticator:
    """Looks the token's Secret up in the watch cache: a deleted or expired one stops working at once."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        match = _TOKEN.fullmatch(credentials.bearer_token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        stored = self._objects.get(SECRETS, "kube-system", NAME_PREFIX + token_id)
        if stored is None:
            raise Unauthorized(f"there is no bootstrap token '{token_id}'")
        return Authenticated(bootstrap_user(decode(stored), token_id, token_secret, now=self._clock.now()))


def bootstrap_user(secret: Mapping[str, Any], token_id: str, token_secret: str, *, now: float) -> User:
    """Whom the Secret lets in. Raises `Unauthorized`, saying what about the Secret or the token does not hold."""
    data = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
    if secret.get("type") != SECRET_TYPE or secret["metadata"].get("deletionTimestamp"):
        raise Unauthorized(f"bootstrap token '{token_id}' is being deleted or of a wrong type")
    if data.get("token-id") != token_id:
        raise Unauthorized(f"the secret of bootstrap token '{token_id}' says another id")
    if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
        raise Unauthorized(f"bootstrap token '{token_id}' has another secret half")
    if data.get("usage-bootstrap-authentication") != "true":
        raise Unauthorized(f"bootstrap token '{token_id}' is not for authentication")
    if _has_expired(data.get("expiration", ""), now):
        raise Unauthorized(f"bootstrap token '{token_id}' has expired")
    extra = [group.strip() for group in data.get("auth-extra-groups", "").split(",") if group.strip()]
    if any(_EXTRA_GROUP.fullmatch(group) is None for group in extra):
        raise Unauthorized(f"bootstrap token '{token_id}' names a group outside system:bootstrappers:")
    return User(f"system:bootstrap:{token_id}", (GROUP, *extra))


def _has_expired(expiration: str, now: float) -> bool:
    if not expiration:
        return False
    try:
        return now >= parse_timestamp(expiration)
    except ValueError:
        return True  # what cannot be read must not live for ever


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, ValueError):
        return ""
