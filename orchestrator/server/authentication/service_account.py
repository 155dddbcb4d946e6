"""Service account tokens: signed by us, in time, for us, and everything they are bound to still exists."""

from __future__ import annotations

from collections import OrderedDict

from orchestrator.api.codec import decode_into
from orchestrator.api.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from orchestrator.api.views.meta import MetaView
from orchestrator.machinery.clock import Clock, parse_timestamp
from orchestrator.machinery.errors import Unauthorized
from orchestrator.server.admission.base import Objects
from orchestrator.server.authentication.base import Authenticated, Credentials, User
from orchestrator.server.tokens import BadToken, Claims, Reference, SigningKey, check_time

_CACHED_MAX = 4096  # tokens whose signature is not verified again; a pod has one, and 110 pods fit a node
_GRACE_S = 60.0  # a pod's containers may use its token this long after its deletion time, as in Kubernetes


class ServiceAccountAuthenticator:
    """Verifies a signature once per token (it costs 100 µs), and what the token is bound to on every request."""

    def __init__(self, key: SigningKey, objects: Objects, clock: Clock) -> None:
        self._key = key
        self._objects = objects
        self._clock = clock
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        token = credentials.bearer_token
        if token.count(".") != 2:
            return None
        claims = self._claims(token)
        private = claims.private
        namespace = private.namespace
        self._check_alive(SERVICEACCOUNTS, namespace, private.account)
        if private.pod is not None:
            self._check_alive(PODS, namespace, private.pod)
        if private.secret is not None:
            self._check_alive(SECRETS, namespace, private.secret)
        if private.node is not None and private.pod is None:
            self._check_alive(NODES, "", private.node)
        audiences = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        return Authenticated(_user(claims), audiences)

    def _claims(self, token: str) -> Claims:
        claims = self._verified.get(token)
        now = self._clock.now()
        try:
            if claims is None:
                claims = self._verified[token] = self._key.claims_of(token, now=now)
                if len(self._verified) > _CACHED_MAX:
                    self._verified.popitem(last=False)
            else:
                check_time(claims, now=now)
                self._verified.move_to_end(token)
        except BadToken as exc:
            self._verified.pop(token, None)
            raise Unauthorized(str(exc)) from exc
        return claims

    def _check_alive(self, resource: Resource, namespace: str, reference: Reference) -> None:
        name, uid = reference.name, reference.uid
        stored = self._objects.get(resource, namespace, name)
        if stored is None:
            raise Unauthorized(f"the token's {resource.kind} '{namespace}/{name}' does not exist")
        meta = decode_into(stored, MetaView).metadata
        if meta.uid != uid:
            raise Unauthorized(f"the token's {resource.kind} '{namespace}/{name}' was replaced by a namesake")
        if meta.deletion_timestamp and self._clock.now() > parse_timestamp(meta.deletion_timestamp) + _GRACE_S:
            raise Unauthorized(f"the token's {resource.kind} '{namespace}/{name}' is being deleted")


def _user(claims: Claims) -> User:
    private = claims.private
    namespace = private.namespace
    extra: dict[str, tuple[str, ...]] = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.jti}",)}
    for kind, reference in (("pod", private.pod), ("node", private.node)):
        if reference is not None:
            extra[f"authentication.kubernetes.io/{kind}-name"] = (reference.name,)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (reference.uid,)
    return User(
        f"system:serviceaccount:{namespace}:{private.account.name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
        uid=private.account.uid,
        extra=extra,
    )
