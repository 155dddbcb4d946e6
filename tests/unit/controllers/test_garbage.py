"""What becomes of objects because of their owners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.controllers.garbage.decide import (
    Delete,
    DeleteBlockers,
    Orphan,
    Owner,
    Release,
    RemoveOwners,
    decide,
)
from tests.support.controllers import CREATED, meta


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
