"""The rules that come with the cluster: administrators, the control plane's identities, everybody's discovery.

They are what Kubernetes' bootstrap policy binds to the same users and groups, cut to the kinds that exist here.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.server.authentication.base import AUTHENTICATED, MASTERS, UNAUTHENTICATED, User
from orchestrator.server.authentication.bootstrap_token import GROUP as BOOTSTRAPPERS
from orchestrator.server.authorization.base import ALLOW, NO_OPINION, Attributes, Verdict
from orchestrator.server.authorization.rules import EVERYTHING, READ, Rule, covers

CONTROLLERS = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
PROXY = "system:kube-proxy"
PROXY_GROUP = "system:node-proxier"

_EVENTS = Rule(
    verbs=("create", "patch", "update"),
    groups=("", "events.k8s.io"),
    resources=("events",),
)
_HEALTH = Rule(verbs=("get",), paths=("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"))
_VERSION = Rule(verbs=("get",), paths=("/version", "/version/"))
_DISCOVERY = Rule(verbs=("get",), paths=("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"))
_ABOUT_ONESELF = (
    Rule(
        verbs=("create",),
        groups=("authorization.k8s.io",),
        resources=("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    ),
    Rule(verbs=("create",), groups=("authentication.k8s.io",), resources=("selfsubjectreviews",)),
)
_ISSUER_DISCOVERY = Rule(verbs=("get",), paths=("/.well-known/openid-configuration", "/openid/v1/jwks"))
_ASK_ABOUT_USERS = (
    Rule(verbs=("create",), groups=("authentication.k8s.io",), resources=("tokenreviews",)),
    Rule(verbs=("create",), groups=("authorization.k8s.io",), resources=("subjectaccessreviews",)),
)
# Namespaces are emptied and owners collected whatever the kind: the controllers need every kind there is.
_CONTROLLER_RULES = (Rule(verbs=EVERYTHING, groups=EVERYTHING, resources=EVERYTHING),)
_SCHEDULER_RULES = (
    _EVENTS,
    Rule(verbs=READ, groups=("",), resources=("nodes", "namespaces", "pods", "services")),
    Rule(verbs=READ, groups=("apps",), resources=("replicasets", "statefulsets")),
    Rule(verbs=("delete",), groups=("",), resources=("pods",)),
    Rule(verbs=("create",), groups=("",), resources=("pods/binding", "bindings")),
    Rule(verbs=("patch", "update"), groups=("",), resources=("pods/status",)),
    Rule(
        verbs=(*READ, "create", "update", "patch"),
        groups=("coordination.k8s.io",),
        resources=("leases",),
        namespaces=("kube-system",),
    ),
    *_ASK_ABOUT_USERS,
)
_PROXY_RULES = (
    _EVENTS,
    Rule(verbs=READ, groups=("",), resources=("services", "endpoints", "nodes", "namespaces")),
    Rule(verbs=READ, groups=("discovery.k8s.io",), resources=("endpointslices",)),
    Rule(verbs=READ, groups=("networking.k8s.io",), resources=("servicecidrs",)),
)
_BOOTSTRAP_RULES = (
    Rule(
        verbs=("create", *READ),
        groups=("certificates.k8s.io",),
        resources=("certificatesigningrequests",),
    ),
)

BY_GROUP: Mapping[str, tuple[Rule, ...]] = {
    MASTERS: (Rule(verbs=EVERYTHING, groups=EVERYTHING, resources=EVERYTHING, paths=EVERYTHING),),
    AUTHENTICATED: (_HEALTH, _VERSION, _DISCOVERY, *_ABOUT_ONESELF),
    UNAUTHENTICATED: (_HEALTH, _VERSION),
    "system:monitoring": (Rule(verbs=("get",), paths=("/metrics", "/metrics/*")),),
    "system:serviceaccounts": (_ISSUER_DISCOVERY,),
    BOOTSTRAPPERS: _BOOTSTRAP_RULES,
    PROXY_GROUP: _PROXY_RULES,
}
BY_USER: Mapping[str, tuple[Rule, ...]] = {
    CONTROLLERS: _CONTROLLER_RULES,
    SCHEDULER: _SCHEDULER_RULES,
    PROXY: _PROXY_RULES,
}


def rules_of(user: User) -> tuple[Rule, ...]:
    """Every fixed rule that holds for the user."""
    found = list(BY_USER.get(user.name, ()))
    for group in user.groups:
        found.extend(BY_GROUP.get(group, ()))
    return tuple(found)


class FixedRules:
    """Allows what the fixed rules allow; it never refuses, so that later links can allow more."""

    def authorize(self, attributes: Attributes) -> Verdict:
        # The administrators' and most frequent case, without building the list of rules.
        if MASTERS in attributes.user.groups:
            return ALLOW
        if any(covers(rule, attributes) for rule in rules_of(attributes.user)):
            return ALLOW
        return NO_OPINION
