"""When a namespace may go, and what it tells meanwhile."""

from __future__ import annotations

import pytest

from orchestrator.api.resources import CONFIGMAPS, PODS
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.moments import text_of
from orchestrator.controllers.namespace.decide import Found, conditions_of, is_ours, may_finalize, with_content
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


def after_pods(*pods):
    found = with_content(Found(), PODS, "team", [MetaView(metadata=pod) for pod in pods], now=NOW)
    return found, condition_of(
        conditions_of(a_namespace(terminating=True), found, NOW), "NamespaceDeletionContentFailure"
    )


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(meta("a", deletionTimestamp=text_of(NOW + 5)), id="within-its-grace"),
        pytest.param(meta("a", deletionTimestamp=text_of(NOW - 5), finalizers=["x.io/hold"]), id="held"),
    ],
)
def test_pods_that_are_ending_are_no_error(pod):
    found, failure = after_pods(pod)
    assert not may_finalize(found)
    assert (failure.status, failure.reason) == ("False", "ContentDeleted")


def test_a_pod_past_its_grace_that_nothing_holds_is_an_error_in_kubernetes_words():
    found, failure = after_pods(meta("a", deletionTimestamp=text_of(NOW - 5)))
    assert not may_finalize(found)
    assert (failure.status, failure.reason) == ("True", "ContentDeletionFailed")
    assert failure.message == (
        "Failed to delete all resource types, 1 remaining: failed to delete pods for namespace: team, "
        "err: unexpected items still remain in namespace: team for gvr: /v1, Resource=pods"
    )
