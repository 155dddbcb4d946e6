"""When a namespace may go, and what it tells meanwhile."""

from __future__ import annotations

from orchestrator.api.resources import CONFIGMAPS, PODS, Resource
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.namespace.decide import Found, conditions_of, is_ours, may_finalize, resources_in
from tests.support.controllers import NOW, a_namespace, meta


def test_a_namespace_is_released_only_when_surely_empty():
    assert may_finalize(Found(remaining={PODS: ()}))
    assert not may_finalize(Found(remaining={PODS: (MetaView(),)}))
    assert not may_finalize(Found(remaining={}, discovery_error="no answer"))
    assert not may_finalize(Found(remaining={}, deletion_errors=("refused",)))
    assert is_ours(a_namespace(terminating=True))
    assert not is_ours(a_namespace())


def test_a_namespace_tells_what_its_deletion_waits_for():
    held = MetaView(metadata=meta("a", finalizers=["example.com/hold"]))
    found = Found(remaining={PODS: (held, MetaView()), CONFIGMAPS: ()})
    conditions = conditions_of(a_namespace(terminating=True), found, NOW)
    assert len(conditions) == 5
    remaining = condition_of(conditions, "NamespaceContentRemaining")
    assert (remaining.status, remaining.reason) == ("True", "SomeResourcesRemain")
    assert remaining.message == "Some resources are remaining: pods. has 2 resource instances"
    finalizers = condition_of(conditions, "NamespaceFinalizersRemaining")
    assert finalizers.message == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )


def test_only_what_can_be_listed_and_deleted_is_content():
    listing = {
        "resources": [
            {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["list", "delete"]},
            {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["list", "delete"]},
            {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
            {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["list", "delete"]},
        ]
    }
    assert resources_in("", "v1", listing) == (Resource("", "v1", "pods", "Pod"),)
