"""Service account tokens: issuing them (TokenRequest), reading them back, and the documents others verify them by.

Tokens are JWTs signed with ES256, with the claims of Kubernetes' bound service account tokens.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from orchestrator.api import problems
from orchestrator.api.codec import Malformed, decode, decode_into, encode
from orchestrator.api.objects import Object
from orchestrator.api.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from orchestrator.machinery.certificates import public_key_of
from orchestrator.machinery.clock import Clock, timestamp
from orchestrator.machinery.errors import BadRequest, Conflict, Invalid, NotFound
from orchestrator.server.admission.base import Objects

ISSUER = "https://kubernetes.default.svc.cluster.local"
JWKS_PATH = "/openid/v1/jwks"
CONFIGURATION_PATH = "/.well-known/openid-configuration"
_ALGORITHM = "ES256"
_LIFETIME_DEFAULT_S = 3600
_LIFETIME_MIN_S = 600  # Kubernetes' own: shorter ones could not be rotated in time
_LIFETIME_MAX_S = 1 << 32
_BINDABLE: Mapping[tuple[str, str], Resource] = {
    ("v1", "Pod"): PODS,
    ("v1", "Secret"): SECRETS,
    ("v1", "Node"): NODES,
}


class BadToken(Exception):
    """Not a token that we signed, or one out of its time; the text says which."""


class Reference(msgspec.Struct, frozen=True):
    """An object that a token is bound to."""

    name: str
    uid: str


class PrivateClaims(msgspec.Struct, frozen=True, rename={"account": "serviceaccount"}):
    """What Kubernetes adds: whose token it is, and what it lives and dies with."""

    namespace: str
    account: Reference
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None


class Claims(msgspec.Struct, frozen=True, rename={"private": "kubernetes.io"}):
    """The claims of a service account's token. Times are seconds since 1970."""

    iss: str
    sub: str
    exp: float
    private: PrivateClaims
    nbf: float = 0.0
    aud: str | tuple[str, ...] = ()
    jti: str = ""


class _Header(msgspec.Struct, frozen=True):
    alg: str


def check_time(claims: Claims, *, now: float) -> None:
    """Raises `BadToken` for a token whose time has not come, or has passed."""
    if now < claims.nbf:
        raise BadToken(
            f"the token of '{claims.sub}' is valid from {_shown(claims.nbf)} on, and by this machine's clock it is "
            f"{timestamp(now)}: is the clock right?"
        )
    if now >= claims.exp:
        raise BadToken(f"the token of '{claims.sub}' expired at {_shown(claims.exp)}; it is {timestamp(now)} here")


class SigningKey:
    """The key pair that tokens are signed with, from PEM."""

    def __init__(self, key_pem: bytes) -> None:
        public = serialization.load_pem_public_key(public_key_of(key_pem))
        assert isinstance(public, ec.EllipticCurvePublicKey)
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _url64(hashlib.sha256(der).digest())
        self._private = serialization.load_pem_private_key(key_pem, password=None)
        self._public = public

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a signed, compact JWT."""
        return self.sign_bytes(encode(claims))

    def sign_bytes(self, payload: bytes) -> str:
        """Any payload as a signed, compact JWS."""
        assert isinstance(self._private, ec.EllipticCurvePrivateKey)
        return jwt.PyJWS().encode(payload, self._private, algorithm=_ALGORITHM, headers={"kid": self.key_id})

    def claims_of(self, token: str, *, now: float) -> Claims:
        """The claims of a token that this key signed and whose time has come and not passed. Raises `BadToken`."""
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        try:
            if decode_into(_from_url64(header), _Header).alg != _ALGORITHM:
                raise BadToken("not a token of this cluster: it is signed in another way")
            self._public.verify(_as_der(_from_url64(signature)), signed.encode("ascii"), ec.ECDSA(hashes.SHA256()))
            claims = decode_into(_from_url64(payload), Claims)
        except InvalidSignature as exc:
            raise BadToken("not a token of this cluster: the signature is another's") from exc
        except (Malformed, ValueError) as exc:
            raise BadToken("not a token of this cluster: it is malformed") from exc
        if claims.iss != ISSUER:
            raise BadToken("not a token of this cluster: it names another issuer")
        check_time(claims, now=now)
        return claims

    def as_jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key."""
        numbers = self._public.public_numbers()
        return {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": _ALGORITHM,
            "x": _url64(numbers.x.to_bytes(32, "big")),
            "y": _url64(numbers.y.to_bytes(32, "big")),
        }


class TokenIssuer:
    """Answers `serviceaccounts/token`, and serves the documents of OpenID discovery."""

    def __init__(self, key: SigningKey, objects: Objects, clock: Clock, *, server_url: str = ISSUER) -> None:
        self._key = key
        self._objects = objects
        self._clock = clock
        self._server_url = server_url

    def issue(self, request: Object, *, namespace: str, name: str) -> Object:
        """The TokenRequest with its status filled in.

        Raises `NotFound` without such a service account or bound object, `Invalid` for a lifetime out of bounds and
        for what is meant for another account, `Conflict` if the account or the bound object is another one by now,
        `BadRequest` for what cannot be bound.
        """
        meant = request.get("metadata") or {}
        _check_meant(meant, name=name, namespace=namespace)
        stored = self._objects.get(SERVICEACCOUNTS, namespace, name)
        if stored is None:
            raise NotFound(f'serviceaccounts "{name}" not found', details={"name": name, "kind": "serviceaccounts"})
        account = decode(stored)["metadata"]
        if (uid := meant.get("uid")) and uid != account["uid"]:
            raise Conflict(
                f'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "{name}": the UID in the token '
                f"request ({uid}) does not match the UID of the service account ({account['uid']})"
            )
        spec = dict(request.get("spec") or {})
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        lifetime_s = spec.get("expirationSeconds")
        spec["expirationSeconds"] = lifetime_s = _LIFETIME_DEFAULT_S if lifetime_s is None else lifetime_s
        _check_lifetime(lifetime_s, name)
        private: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["uid"]},
        }
        if spec.get("boundObjectRef"):
            private.update(self._bound(spec["boundObjectRef"], namespace, account=name))
        now = int(self._clock.now())
        claims = {
            "aud": list(spec["audiences"]),
            "exp": now + lifetime_s,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": timestamp(now)},
            "spec": spec,
            "status": {"token": self._key.sign(claims), "expirationTimestamp": timestamp(now + lifetime_s)},
        }

    def _bound(self, reference: Object, namespace: str, *, account: str) -> Mapping[str, Any]:
        kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
        resource = _BINDABLE.get((str(reference.get("apiVersion", "")), kind))
        if resource is None:
            raise BadRequest(f"cannot bind token to object of type {reference.get('apiVersion', '')}, Kind={kind}")
        stored = self._objects.get(resource, namespace if resource.namespaced else "", name)
        if stored is None:
            raise NotFound(f'{resource.plural} "{name}" not found', details={"name": name, "kind": resource.plural})
        bound = decode(stored)
        uid = bound["metadata"]["uid"]
        if reference.get("uid") and reference["uid"] != uid:
            raise Conflict(
                f'Operation cannot be fulfilled on {resource.plural} "{name}": the UID in the bound object reference '
                f"({reference['uid']}) does not match the UID in record. The object might have been deleted and then "
                "recreated"
            )
        claims: dict[str, Any] = {kind.lower(): {"name": name, "uid": uid}}
        if kind == "Pod":
            if bound["spec"].get("serviceAccountName") != account:
                raise BadRequest(
                    f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount '
                    "name."
                )
            claims.update(self._node_claim(bound["spec"].get("nodeName") or ""))
        return claims

    def _node_claim(self, node: str) -> Mapping[str, Any]:
        stored = self._objects.get(NODES, "", node) if node else None
        return {"node": {"name": node, "uid": decode(stored)["metadata"]["uid"]}} if stored else {}

    def documents(self) -> Mapping[str, Object]:
        """What to serve, by path: OpenID discovery and the keys."""
        return {JWKS_PATH: key_set((self._key,)), CONFIGURATION_PATH: openid_configuration(self._server_url)}


def key_set(keys: Sequence[SigningKey]) -> Object:
    """The JSON Web Key Set of the keys in use."""
    return {"keys": [key.as_jwk() for key in keys]}


def openid_configuration(server_url: str) -> Object:
    """The discovery document: who issues, where the keys are."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{server_url}{JWKS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [_ALGORITHM],
    }


def _check_meant(meant: Mapping[str, Any], **account: str) -> None:
    """See that the request is for the account of the URL, as far as it says for which."""
    for field, own in account.items():
        if (value := meant.get(field)) and value != own:
            problem = problems.invalid(
                f"metadata.{field}", value, f"must match the service account {field} if specified"
            )
            raise Invalid.of(
                group="authentication.k8s.io", kind="TokenRequest", name=account["name"], problems=[problem]
            )


def _check_lifetime(lifetime_s: int, name: str) -> None:
    field = "spec.expirationSeconds"
    if lifetime_s < _LIFETIME_MIN_S:
        problem = problems.invalid(field, lifetime_s, "may not specify a duration less than 10 minutes")
    elif lifetime_s > _LIFETIME_MAX_S:
        problem = problems.invalid(field, lifetime_s, "may not specify a duration larger than 2^32 seconds")
    else:
        return
    raise Invalid.of(group="authentication.k8s.io", kind="TokenRequest", name=name, problems=[problem])


def _shown(seconds: float) -> str:
    try:
        return timestamp(seconds)
    except (OverflowError, ValueError, OSError):
        return f"second {seconds} after 1970"  # signed, but beyond any calendar


def _as_der(signature: bytes) -> bytes:
    """A JWT's signature (two numbers of 32 bytes) as cryptography takes it. Raises `ValueError`."""
    if len(signature) != 64:
        raise ValueError("the signature has another length")
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def _from_url64(text: str) -> bytes:
    """Raises `ValueError` for anything but base64 for URLs without padding."""
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
