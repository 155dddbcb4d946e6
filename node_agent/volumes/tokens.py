"""Service account tokens for projected volumes: asked for with TokenRequest, renewed before they run out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node_agent.pods.facts import ConfigProblem
from node_agent.volumes.payload import tokens_wanted
from orchestrator.api.resources import SERVICEACCOUNTS
from orchestrator.api.views.meta import View
from orchestrator.api.views.pods import Pod, TokenProjection
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, parse_timestamp
from orchestrator.machinery.errors import ApiError, Unreachable

# Kubernetes renews when 80 % of the lifetime is over, or after a day.
_USED_SHARE = 0.8
_USED_MAX_S = 24 * 3600.0


class _TokenStatus(View, frozen=True):
    token: str = ""
    expiration_timestamp: str = ""


class _TokenReply(View, frozen=True):
    status: _TokenStatus = _TokenStatus()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class PodTokens:
    """The tokens of all pods on this node, kept in memory and in the pods' volumes."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[tuple[str, str, int], _Token] = {}

    async def tokens(self, pod: Pod) -> Mapping[tuple[str, int], str]:
        """The tokens that the pod's projections want. Raises ConfigProblem if one cannot be had."""
        wanted: dict[tuple[str, int], str] = {}
        for projection in tokens_wanted(pod):
            key = (pod.metadata.uid, projection.audience, projection.expiration_seconds)
            held = self._tokens.get(key)
            if held is None or self._clock.now() >= held.renew_at:
                held = await self._fresh(pod, projection, held)
                self._tokens[key] = held
            wanted[(projection.audience, projection.expiration_seconds)] = held.text
        return wanted

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _fresh(self, pod: Pod, projection: TokenProjection, held: _Token | None) -> _Token:
        meta = pod.metadata
        account = pod.spec.service_account_name or "default"
        spec: dict[str, object] = {
            "expirationSeconds": projection.expiration_seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid},
        }
        if projection.audience:
            spec["audiences"] = [projection.audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        now = self._clock.now()
        try:
            reply = await self._client.create(
                SERVICEACCOUNTS, body, meta.namespace, into=_TokenReply, name=account, subresource="token"
            )
        except (ApiError, Unreachable) as refused:
            if held is not None:
                return held  # it may be good for a while yet; the next refresh tries again
            raise ConfigProblem(f"failed to fetch token: {refused}") from refused
        lifetime_s = parse_timestamp(reply.status.expiration_timestamp) - now
        return _Token(reply.status.token, now + min(_USED_MAX_S, lifetime_s * _USED_SHARE))
