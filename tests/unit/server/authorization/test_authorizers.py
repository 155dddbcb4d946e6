"""Who may do what, and the words of a refusal."""

from __future__ import annotations

import pytest

from orchestrator.api.kinds import BUILT_IN
from orchestrator.server.authentication.base import ANONYMOUS, AUTHENTICATED, User
from orchestrator.server.authorization.base import Attributes
from orchestrator.server.authorization.chain import build_authorizer, refusal, review_rules
from orchestrator.server.authorization.rules import Rule, covers
from tests.support.security import ADMIN, SOMEBODY, FakeObjects, a_node_user, a_pod

PROXY = User("system:kube-proxy", ("system:node-proxier", AUTHENTICATED))
SCHEDULER = User("system:kube-scheduler", (AUTHENTICATED,))
CONTROLLERS = User("system:kube-controller-manager", (AUTHENTICATED,))
JOINING = User("system:bootstrap:abcdef", ("system:bootstrappers", AUTHENTICATED))
ACCOUNT = User("system:serviceaccount:default:default", ("system:serviceaccounts", AUTHENTICATED))
NODE = a_node_user("n1")

OURS = a_pod(
    "ours",
    node="n1",
    volumes=[
        {"name": "a", "secret": {"secretName": "volume-secret"}},
        {"name": "b", "configMap": {"name": "volume-config"}},
        {
            "name": "c",
            "projected": {
                "sources": [
                    {"secret": {"name": "projected-secret"}},
                    {"configMap": {"name": "kube-root-ca.crt"}},
                    {"serviceAccountToken": {"path": "token"}},
                ]
            },
        },
        {"name": "d", "emptyDir": {}},
    ],
    imagePullSecrets=[{"name": "pull-secret"}],
    initContainers=[
        {"name": "i", "envFrom": [{"configMapRef": {"name": "env-config"}}, {"secretRef": {"name": "es"}}]}
    ],
    containers=[
        {
            "name": "m",
            "env": [
                {"name": "A", "value": "plain"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "key-config", "key": "k"}}},
            ],
        }
    ],
)
THEIRS = a_pod("theirs", node="n2", account="theirs", volumes=[{"name": "v", "secret": {"secretName": "their-secret"}}])
AUTHORIZER = build_authorizer(FakeObjects(OURS, THEIRS, a_pod("nowhere")))


def may(user: User, verb: str, resource: str = "", **more: str) -> bool:
    plural, _, subresource = resource.partition("/")
    return AUTHORIZER.authorize(Attributes(user, verb, resource=plural, subresource=subresource, **more)).allowed


@pytest.mark.parametrize(
    ("user", "verb", "resource", "more"),
    [
        pytest.param(ADMIN, "delete", "nodes", {"name": "n1"}, id="administrators-may-everything"),
        pytest.param(ADMIN, "get", "", {"path": "/metrics"}, id="administrators-may-every-path"),
        pytest.param(CONTROLLERS, "deletecollection", "secrets", {"namespace": "x"}, id="controllers-empty-namespaces"),
        pytest.param(CONTROLLERS, "update", "namespaces/finalize", {"name": "x"}, id="controllers-finalize"),
        pytest.param(SCHEDULER, "create", "pods/binding", {"namespace": "x", "name": "p"}, id="scheduler-binds"),
        pytest.param(SCHEDULER, "list", "pods", {}, id="scheduler-lists-pods"),
        pytest.param(
            SCHEDULER,
            "update",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "kube-system", "name": "wherry-scheduler"},
            id="scheduler-holds-its-lease",
        ),
        pytest.param(PROXY, "watch", "endpointslices", {"group": "discovery.k8s.io"}, id="proxy-watches-slices"),
        pytest.param(PROXY, "list", "services", {}, id="proxy-lists-services"),
        pytest.param(NODE, "watch", "endpointslices", {"group": "discovery.k8s.io"}, id="a-nodes-proxy-watches-slices"),
        pytest.param(NODE, "list", "services", {}, id="a-nodes-proxy-lists-services"),
        pytest.param(
            JOINING,
            "create",
            "certificatesigningrequests",
            {"group": "certificates.k8s.io"},
            id="joining-machines-ask-for-certificates",
        ),
        pytest.param(SOMEBODY, "get", "", {"path": "/apis/apps/v1"}, id="discovery-is-for-every-known-user"),
        pytest.param(SOMEBODY, "get", "", {"path": "/version"}, id="version-is-for-every-known-user"),
        pytest.param(
            SOMEBODY,
            "create",
            "selfsubjectaccessreviews",
            {"group": "authorization.k8s.io"},
            id="everybody-may-ask-about-themselves",
        ),
        pytest.param(ACCOUNT, "get", "", {"path": "/openid/v1/jwks"}, id="accounts-find-the-issuers-keys"),
        pytest.param(ANONYMOUS, "get", "", {"path": "/healthz"}, id="health-is-for-everybody"),
        pytest.param(ANONYMOUS, "get", "", {"path": "/readyz/ping"}, id="health-checks-too"),
        pytest.param(ANONYMOUS, "get", "", {"path": "/version"}, id="and-the-version"),
        pytest.param(NODE, "get", "nodes", {"name": "n2"}, id="nodes-read-nodes-for-their-routes"),
        pytest.param(NODE, "patch", "nodes/status", {"name": "n1"}, id="a-node-writes-its-own-status"),
        pytest.param(NODE, "create", "nodes", {}, id="a-node-registers"),
        pytest.param(NODE, "watch", "pods", {"field_selector": "spec.nodeName=n1"}, id="a-node-watches-its-pods"),
        pytest.param(
            NODE, "list", "pods", {"field_selector": "status.phase!=Failed,spec.nodeName==n1"}, id="among-other-fields"
        ),
        pytest.param(NODE, "get", "pods", {"namespace": "default", "name": "ours"}, id="a-node-reads-its-pod"),
        pytest.param(NODE, "patch", "pods/status", {"namespace": "default", "name": "ours"}, id="and-reports-on-it"),
        pytest.param(NODE, "delete", "pods", {"namespace": "default", "name": "ours"}, id="and-finishes-its-deletion"),
        pytest.param(
            NODE,
            "update",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n1"},
            id="a-node-beats-its-heart",
        ),
        pytest.param(NODE, "create", "events", {"namespace": "default"}, id="a-node-tells-what-happened"),
        pytest.param(
            NODE,
            "create",
            "serviceaccounts/token",
            {"namespace": "default", "name": "default"},
            id="a-node-gets-its-pods-tokens",
        ),
    ],
)
def test_allowed(user: User, verb: str, resource: str, more: dict[str, str]) -> None:
    assert may(user, verb, resource, **more)


@pytest.mark.parametrize(
    ("user", "verb", "resource", "more"),
    [
        pytest.param(SOMEBODY, "list", "pods", {"namespace": "default"}, id="a-user-without-rules"),
        pytest.param(SOMEBODY, "get", "", {"path": "/metrics"}, id="metrics-are-not-for-everybody"),
        pytest.param(ACCOUNT, "list", "secrets", {"namespace": "default"}, id="a-service-account"),
        pytest.param(ANONYMOUS, "get", "", {"path": "/healthz-of-others"}, id="anonymous-and-a-longer-path"),
        pytest.param(ANONYMOUS, "list", "pods", {}, id="anonymous-and-pods"),
        pytest.param(JOINING, "list", "nodes", {}, id="joining-is-not-being-a-node"),
        pytest.param(
            JOINING,
            "update",
            "certificatesigningrequests/approval",
            {"group": "certificates.k8s.io", "name": "x"},
            id="joining-machines-do-not-approve",
        ),
        pytest.param(PROXY, "list", "secrets", {}, id="the-proxy-reads-no-secrets"),
        pytest.param(PROXY, "update", "services", {"namespace": "x", "name": "y"}, id="the-proxy-writes-nothing"),
        pytest.param(SCHEDULER, "list", "secrets", {}, id="the-scheduler-reads-no-secrets"),
        pytest.param(
            SCHEDULER,
            "update",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n1"},
            id="the-scheduler-beats-no-nodes-heart",
        ),
        pytest.param(NODE, "list", "pods", {}, id="a-node-and-all-pods"),
        pytest.param(NODE, "list", "pods", {"field_selector": "spec.nodeName=n2"}, id="a-node-and-anothers-pods"),
        pytest.param(NODE, "list", "pods", {"field_selector": "spec.nodeName!=n1"}, id="a-node-and-all-but-its-pods"),
        pytest.param(NODE, "get", "pods", {"namespace": "default", "name": "theirs"}, id="a-node-and-anothers-pod"),
        pytest.param(NODE, "get", "pods", {"namespace": "default", "name": "nowhere"}, id="an-unbound-pod"),
        pytest.param(NODE, "update", "pods", {"namespace": "default", "name": "ours"}, id="a-node-and-a-pods-spec"),
        pytest.param(NODE, "create", "pods/exec", {"namespace": "default", "name": "ours"}, id="a-node-and-exec"),
        pytest.param(NODE, "patch", "nodes/status", {"name": "n2"}, id="a-node-and-anothers-status"),
        pytest.param(NODE, "delete", "nodes", {"name": "n1"}, id="a-node-does-not-delete-itself"),
        pytest.param(
            NODE,
            "update",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n2"},
            id="a-node-and-anothers-lease",
        ),
        pytest.param(
            NODE,
            "get",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "kube-system", "name": "n1"},
            id="a-lease-elsewhere",
        ),
        pytest.param(NODE, "list", "secrets", {"namespace": "default"}, id="a-node-and-all-secrets"),
        pytest.param(NODE, "list", "secrets", {}, id="a-node-and-all-secrets-everywhere"),
        pytest.param(
            NODE,
            "create",
            "serviceaccounts/token",
            {"namespace": "default", "name": "theirs"},
            id="a-node-and-tokens-of-others-pods",
        ),
        pytest.param(
            User("system:node:n1", (AUTHENTICATED,)), "get", "nodes", {"name": "n1"}, id="a-nodes-name-alone-is-no-node"
        ),
        pytest.param(
            User("n1", ("system:nodes", AUTHENTICATED)), "get", "nodes", {"name": "n1"}, id="nor-is-its-group-alone"
        ),
    ],
)
def test_not_allowed(user: User, verb: str, resource: str, more: dict[str, str]) -> None:
    assert not may(user, verb, resource, **more)


@pytest.mark.parametrize(
    ("resource", "name", "expected"),
    [
        ("secrets", "volume-secret", True),
        ("configmaps", "volume-config", True),
        ("secrets", "projected-secret", True),
        ("configmaps", "kube-root-ca.crt", True),
        ("secrets", "pull-secret", True),
        ("configmaps", "env-config", True),
        ("secrets", "es", True),
        ("secrets", "key-secret", True),
        ("configmaps", "key-config", True),
        ("serviceaccounts", "default", True),
        ("secrets", "their-secret", False),
        ("configmaps", "volume-secret", False),
        ("secrets", "volume", False),
        ("secrets", "main", False),
    ],
)
def test_a_node_reads_what_its_pods_use(resource: str, name: str, expected: bool) -> None:
    assert may(NODE, "get", resource, namespace="default", name=name) is expected
    assert not may(NODE, "get", resource, namespace="other", name=name)
    assert not may(NODE, "update", resource, namespace="default", name=name)
    if resource != "serviceaccounts":
        selector = f"metadata.name={name}"
        assert may(NODE, "watch", resource, namespace="default", field_selector=selector) is expected


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        pytest.param(
            Attributes(User("jane"), "list", resource="pods", namespace="default"),
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"',
            id="in-a-namespace",
        ),
        pytest.param(
            Attributes(User("jane"), "get", group="apps", resource="deployments", namespace="a", name="web"),
            'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments" in API group "apps" '
            'in the namespace "a"',
            id="one-object-of-a-group",
        ),
        pytest.param(
            Attributes(User("jane"), "create", resource="pods", subresource="exec", namespace="a", name="web"),
            'pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" '
            'in the namespace "a"',
            id="a-subresource",
        ),
        pytest.param(
            Attributes(User("jane"), "list", resource="nodes"),
            'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope',
            id="cluster-scope",
        ),
        pytest.param(
            Attributes(User("jane"), "get", path="/metrics"),
            'forbidden: User "jane" cannot get path "/metrics"',
            id="a-path",
        ),
        pytest.param(
            Attributes(a_node_user("n1"), "list", resource="pods"),
            'pods is forbidden: User "system:node:n1" cannot list resource "pods" in API group "" '
            "at the cluster scope: can only list/watch pods with spec.nodeName field selector",
            id="with-the-reason",
        ),
    ],
)
def test_a_refusal_uses_the_words_of_kubernetes(attributes: Attributes, message: str) -> None:
    error = refusal(attributes, AUTHORIZER.authorize(attributes))
    assert error.message == message
    assert error.as_status()["code"] == 403


@pytest.mark.parametrize(
    ("rule", "attributes", "expected"),
    [
        pytest.param(
            Rule(verbs=("get",), groups=("",), resources=("pods",)),
            Attributes(SOMEBODY, "get", resource="pods", subresource="log"),
            False,
            id="a-resource-does-not-cover-its-subresources",
        ),
        pytest.param(
            Rule(verbs=("get",), groups=("",), resources=("*/log",)),
            Attributes(SOMEBODY, "get", resource="pods", subresource="log"),
            True,
            id="a-subresource-of-all",
        ),
        pytest.param(
            Rule(verbs=("get",), groups=("",), resources=("pods",), names=("a",)),
            Attributes(SOMEBODY, "get", resource="pods", name="b"),
            False,
            id="another-name",
        ),
        pytest.param(
            Rule(verbs=("get",), groups=("*",), resources=("*",)),
            Attributes(SOMEBODY, "get", path="/metrics"),
            False,
            id="resources-are-no-paths",
        ),
        pytest.param(
            Rule(verbs=("get",), groups=("apps",), resources=("*",)),
            Attributes(SOMEBODY, "get", resource="pods"),
            False,
            id="another-group",
        ),
    ],
)
def test_rules_cover_what_rbac_rules_cover(rule: Rule, attributes: Attributes, expected: bool) -> None:
    assert covers(rule, attributes) is expected


def test_users_are_shown_their_rules() -> None:
    review = review_rules(ADMIN, "default")
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in review["resourceRules"]
    assert {"verbs": ["*"], "nonResourceURLs": ["*"]} in review["nonResourceRules"]
    assert review["incomplete"] is False
    assert review_rules(NODE, "default")["incomplete"] is True
    assert not any("leases" in rule["resources"] for rule in review_rules(SCHEDULER, "default")["resourceRules"])


@pytest.mark.parametrize("user", [ADMIN, SOMEBODY, NODE, SCHEDULER, CONTROLLERS], ids=lambda user: user.name)
def test_can_i_list_shows_no_impossible_pairs(user: User) -> None:
    for rule in review_rules(user, "default")["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                plural = resource.partition("/")[0]
                there_is = any(
                    kind.resource.group == group and plural in (kind.resource.plural, "bindings")
                    for kind in BUILT_IN.rows
                )
                assert "*" in (group, resource) or there_is, f"{resource} of {group!r}"
