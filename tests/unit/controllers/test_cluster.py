"""Decisions about namespaces, service accounts, owners; and the memory of own writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.resources import CONFIGMAPS, PODS, Resource
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.garbage.decide import (
    Delete,
    DeleteBlockers,
    Orphan,
    Owner,
    Release,
    RemoveOwners,
    decide,
)
from orchestrator.controllers.namespace.decide import Found, conditions_of, is_ours, may_finalize, resources_in
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.service_accounts.decide import decide as decide_accounts
from orchestrator.machinery.errors import RetryLater
from tests.support.controllers import CREATED, NOW, a_namespace, meta


def ref(uid, *, block=False):
    return {"apiVersion": "v1", "kind": "X", "name": uid, "uid": uid, "blockOwnerDeletion": block}


def going(*finalizers):
    return meta("a", deletionTimestamp=CREATED, finalizers=list(finalizers))


@pytest.mark.parametrize(
    ("obj", "owners", "dependents", "expected"),
    [
        pytest.param(meta("a"), {}, [], None, id="no-owner"),
        pytest.param(meta("a", ownerReferences=[ref("x")]), {"x": Owner.SOLID}, [], None, id="owned"),
        pytest.param(meta("a", ownerReferences=[ref("x")]), {}, [], None, id="an-unknown-owner-counts-as-there"),
        pytest.param(
            meta("a", ownerReferences=[ref("x")]), {"x": Owner.ABSENT}, [], Delete("Background"), id="owner-gone"
        ),
        pytest.param(
            meta("a", ownerReferences=[ref("x"), ref("y")]),
            {"x": Owner.ABSENT, "y": Owner.SOLID},
            [],
            RemoveOwners(("x",)),
            id="one-owner-of-two-gone",
        ),
        pytest.param(
            meta("a", ownerReferences=[ref("x")]), {"x": Owner.WAITING}, [], Delete("Background"), id="owner-waits"
        ),
        pytest.param(
            meta("a", ownerReferences=[ref("x")]),
            {"x": Owner.WAITING},
            [meta("b")],
            Delete("Foreground"),
            id="owner-waits-and-others-depend",
        ),
        pytest.param(
            meta("a", ownerReferences=[ref("x")], finalizers=["orphan"]),
            {"x": Owner.ABSENT},
            [],
            Delete("Orphan"),
            id="keeps-its-policy",
        ),
        pytest.param(going(), {}, [], None, id="going-without-us"),
        pytest.param(going("orphan"), {}, [meta("b")], Orphan(), id="orphaning"),
        pytest.param(going("orphan"), {}, [], Release("orphan"), id="orphaned"),
        pytest.param(
            going("foregroundDeletion"),
            {},
            [meta("b", ownerReferences=[ref("uid-a", block=True)])],
            DeleteBlockers(("uid-b",)),
            id="foreground-waits",
        ),
        pytest.param(
            going("foregroundDeletion"),
            {},
            [meta("b", ownerReferences=[ref("uid-a")])],
            Release("foregroundDeletion"),
            id="foreground-does-not-wait-for-those-that-do-not-block",
        ),
    ],
)
def test_garbage(obj, owners, dependents, expected):
    assert decide(obj, owners, dependents) == expected


@given(st.lists(st.sampled_from(list(Owner)), min_size=1, max_size=5))
def test_nothing_with_a_solid_owner_is_ever_deleted(states):
    uids = [f"u{number}" for number in range(len(states))]
    obj = meta("a", ownerReferences=[ref(uid) for uid in uids])
    decision = decide(obj, dict(zip(uids, states, strict=True)), [])
    assert isinstance(decision, Delete) == (Owner.SOLID not in states)


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


def test_a_namespace_lacks_its_account_until_it_goes():
    assert decide_accounts(a_namespace(), ()) == ("default",)
    assert decide_accounts(a_namespace(), ("default",)) == ()
    assert decide_accounts(a_namespace(terminating=True), ()) == ()


class Cache:
    def __init__(self):
        self.revision = 0
        self.objects = {}

    def get(self, key):
        return self.objects.get(key)


def test_own_writes_are_waited_for():
    cache, own = Cache(), OwnWrites()
    own.require_seen("k")
    own.wrote("k", cache, meta("a", resourceVersion="7"))
    own.wrote("k", cache, meta("b", resourceVersion="5"))
    cache.revision = 6
    with pytest.raises(RetryLater):
        own.require_seen("k")
    own.require_seen("other")
    cache.revision = 7
    own.require_seen("k")


def test_own_deletes_are_waited_for_but_not_namesakes():
    cache, own = Cache(), OwnWrites()
    cache.objects["default/a"] = MetaView(metadata=meta("a"))
    own.deleted("k", cache, meta("a"))
    with pytest.raises(RetryLater):
        own.require_seen("k")
    cache.objects["default/a"] = MetaView(metadata=meta("a", uid="another"))
    own.require_seen("k")
    cache.objects["default/a"] = MetaView(metadata=meta("a"))
    own.deleted("k", cache, meta("a"))
    cache.objects["default/a"] = MetaView(metadata=meta("a", deletionTimestamp=CREATED))
    own.require_seen("k")
