"""Service account tokens: signed by us, in time, for us, and everything they are bound to still exists."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.codec import decode_into
from orchestrator.api.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from orchestrator.api.views.meta import MetaView
from orchestrator.machinery.clock import Clock, parse_timestamp
from orchestrator.machinery.errors import Unauthorized
from orchestrator.server.admission.base import Objects
from orchestrator.server.authentication.base import Credentials, User
from orchestrator.server.tokens import ISSUER, BadToken, SigningKey

_CACHED_MAX = 4096  # tokens whose signature is not verified again; a pod has one, and 110 pods fit a node
_GRACE_S = 60.0  # a pod's containers may use its token this long after its deletion time, as in Kubernetes


class ServiceAccountAuthenticator:
    """Verifies a signature once per token (it costs 100 µs), and what the token is bound to on every request."""

    def __init__(
        self, key: SigningKey, objects: Objects, clock: Clock, *, audiences: Sequence[str] = (ISSUER,)
    ) -> None:
        self._key = key
        self._objects = objects
        self._clock = clock
        self._audiences = frozenset(audiences)
        self._verified: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def authenticate(self, credentials: Credentials) -> User | None:
        token = credentials.bearer_token
        if token.count(".") != 2:
            return None
        claims = self._claims(token)
        private = claims.get("kubernetes.io") or {}
        account, namespace = private.get("serviceaccount") or {}, str(private.get("namespace", ""))
        self._check_alive(SERVICEACCOUNTS, namespace, account)
        for kind, resource in (("pod", PODS), ("secret", SECRETS)):
            if private.get(kind):
                self._check_alive(resource, namespace, private[kind])
        if private.get("node") and not private.get("pod"):
            self._check_alive(NODES, "", private["node"])
        return _user(claims, namespace, account, private)

    def _claims(self, token: str) -> Mapping[str, Any]:
        claims = self._verified.get(token)
        now = self._clock.now()
        if claims is None:
            try:
                claims = self._key.claims_of(token, now=now)
            except BadToken as exc:
                raise Unauthorized(str(exc)) from exc
            if not self._audiences.intersection(_audiences_of(claims)):
                raise Unauthorized("the token is for another audience")
            self._verified[token] = claims
            if len(self._verified) > _CACHED_MAX:
                self._verified.popitem(last=False)
        elif now >= float(claims["exp"]):
            del self._verified[token]
            raise Unauthorized("the token has expired")
        else:
            self._verified.move_to_end(token)
        return claims

    def _check_alive(self, resource: Resource, namespace: str, reference: Mapping[str, Any]) -> None:
        name, uid = str(reference.get("name", "")), reference.get("uid")
        stored = self._objects.get(resource, namespace, name)
        if stored is None:
            raise Unauthorized(f"the token's {resource.kind} '{namespace}/{name}' does not exist")
        meta = decode_into(stored, MetaView).metadata
        if meta.uid != uid:
            raise Unauthorized(f"the token's {resource.kind} '{namespace}/{name}' was replaced by a namesake")
        if meta.deletion_timestamp and self._clock.now() > parse_timestamp(meta.deletion_timestamp) + _GRACE_S:
            raise Unauthorized(f"the token's {resource.kind} '{namespace}/{name}' is being deleted")


def _audiences_of(claims: Mapping[str, Any]) -> Sequence[str]:
    audience = claims.get("aud") or ()
    return (audience,) if isinstance(audience, str) else audience


def _user(claims: Mapping[str, Any], namespace: str, account: Mapping[str, Any], private: Mapping[str, Any]) -> User:
    extra: dict[str, tuple[str, ...]] = {
        "authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti', '')}",)
    }
    for kind in ("pod", "node"):
        if private.get(kind):
            extra[f"authentication.kubernetes.io/{kind}-name"] = (str(private[kind]["name"]),)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (str(private[kind]["uid"]),)
    return User(
        f"system:serviceaccount:{namespace}:{account['name']}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
        uid=str(account["uid"]),
        extra=extra,
    )
