"""Which priority level a request has."""

from __future__ import annotations

import pytest

from orchestrator.server.authentication.base import ANONYMOUS, AUTHENTICATED, User
from orchestrator.server.authorization.base import Attributes
from orchestrator.server.gate import levels
from orchestrator.server.gate.levels import level_of
from tests.support.security import ADMIN, SOMEBODY, a_node_user

_NODE = a_node_user()
_CONTROLLERS = User("system:kube-controller-manager", (AUTHENTICATED,))
_SCHEDULER = User("system:kube-scheduler", (AUTHENTICATED,))


def _account(namespace: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:default", groups)


def _of_lease(user: User, verb: str) -> Attributes:
    return Attributes(user, verb, "coordination.k8s.io", "v1", "leases", namespace="kube-node-lease", name="n1")


_ONLY_NAMED_LIKE_A_NODE = User("system:node:n1", (AUTHENTICATED,))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param(Attributes(ADMIN, "create", resource="pods"), levels.EXEMPT, id="masters"),
        pytest.param(Attributes(ANONYMOUS, "get", path="/readyz"), levels.EXEMPT, id="probes"),
        pytest.param(Attributes(ANONYMOUS, "get", path="/version"), levels.GLOBAL_DEFAULT, id="anonymous"),
        pytest.param(_of_lease(_NODE, "update"), levels.NODE_HIGH, id="a-nodes-lease"),
        pytest.param(Attributes(_NODE, "patch", resource="nodes"), levels.NODE_HIGH, id="a-node"),
        pytest.param(Attributes(_NODE, "list", resource="nodes"), levels.SYSTEM, id="a-nodes-list"),
        pytest.param(Attributes(_NODE, "watch", resource="nodes"), levels.SYSTEM, id="a-nodes-watch"),
        pytest.param(_of_lease(_NODE, "list"), levels.SYSTEM, id="a-nodes-list-of-leases"),
        pytest.param(
            Attributes(_NODE, "get", "metrics.k8s.io", "v1beta1", "nodes", name="n1"),
            levels.SYSTEM,
            id="only-called-nodes",
        ),
        pytest.param(
            Attributes(_NODE, "update", "example.com", "v1", "leases", name="n1"),
            levels.SYSTEM,
            id="only-called-leases",
        ),
        pytest.param(Attributes(_NODE, "patch", resource="pods"), levels.SYSTEM, id="a-nodes-pods"),
        pytest.param(_of_lease(_CONTROLLERS, "update"), levels.LEADER_ELECTION, id="controllers-lease"),
        pytest.param(_of_lease(_SCHEDULER, "get"), levels.LEADER_ELECTION, id="schedulers-lease"),
        pytest.param(Attributes(_CONTROLLERS, "create", resource="pods"), levels.WORKLOAD_HIGH, id="controllers"),
        pytest.param(Attributes(_account("kube-system"), "list", resource="pods"), levels.WORKLOAD_HIGH, id="system"),
        pytest.param(Attributes(_account("default"), "list", resource="pods"), levels.WORKLOAD_LOW, id="pods"),
        pytest.param(_of_lease(_account("default"), "update"), levels.WORKLOAD_LOW, id="a-pods-own-lease"),
        pytest.param(Attributes(SOMEBODY, "list", resource="pods"), levels.GLOBAL_DEFAULT, id="people"),
        pytest.param(Attributes(User("x"), "list", resource="pods"), levels.CATCH_ALL, id="of-no-group"),
        pytest.param(_of_lease(_ONLY_NAMED_LIKE_A_NODE, "update"), levels.GLOBAL_DEFAULT, id="only-named-like-a-node"),
    ],
)
def test_level_of(attributes: Attributes, expected: levels.Level) -> None:
    assert level_of(attributes) is expected
