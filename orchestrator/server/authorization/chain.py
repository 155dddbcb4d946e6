"""The chain of authorizers, the refusal in Kubernetes' words, and the rules that a client may ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.machinery.errors import Forbidden
from orchestrator.server.admission.base import Objects
from orchestrator.server.authentication.base import User
from orchestrator.server.authorization.base import Attributes, Authorizer, Decision, Verdict
from orchestrator.server.authorization.fixed import FixedRules, rules_of
from orchestrator.server.authorization.node import NodeAuthorizer, node_name
from orchestrator.server.authorization.rules import as_review


class AuthorizerChain:
    """The first link with an opinion decides; without any, the request is not allowed, for all the reasons given."""

    def __init__(self, links: Sequence[Authorizer]) -> None:
        self._links = tuple(links)

    def authorize(self, attributes: Attributes) -> Verdict:
        reasons: list[str] = []
        for link in self._links:
            verdict = link.authorize(attributes)
            if verdict.decision is not Decision.NO_OPINION:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(Decision.NO_OPINION, ", ".join(reasons))


def build_authorizer(objects: Objects) -> AuthorizerChain:
    """The cluster's chain: fixed rules, then the Node rules. RBAC's link takes its place after these two."""
    return AuthorizerChain((FixedRules(), NodeAuthorizer(objects)))


def review_rules(user: User, namespace: str) -> dict[str, Any]:
    """The `status` of a SelfSubjectRulesReview: a node's own rules depend on its pods and cannot be listed."""
    return as_review(rules_of(user), namespace=namespace, incomplete=node_name(user) is not None)


def refusal(attributes: Attributes, verdict: Verdict) -> Forbidden:
    """The error to answer with when the verdict does not allow the request."""
    message = _sentence(attributes)
    if verdict.reason:
        message += f": {verdict.reason}"
    if not attributes.resource:
        return Forbidden(f"forbidden: {message}", details={})
    qualified = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    details = {"name": attributes.name, "group": attributes.group, "kind": attributes.resource}
    named = f"{qualified} {json.dumps(attributes.name)}" if attributes.name else qualified
    return Forbidden(
        f"{named} is forbidden: {message}", details={key: value for key, value in details.items() if value}
    )


def _sentence(attributes: Attributes) -> str:
    user = json.dumps(attributes.user.name)
    if not attributes.resource:
        return f"User {user} cannot {attributes.verb} path {json.dumps(attributes.path)}"
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f"in the namespace {json.dumps(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    return (
        f"User {user} cannot {attributes.verb} resource {json.dumps(resource)} "
        f"in API group {json.dumps(attributes.group)} {where}"
    )
