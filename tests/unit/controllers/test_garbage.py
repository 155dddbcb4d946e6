"""What becomes of objects because of their owners."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.controllers.garbage.decide import (
    Delete,
    DeleteBlockers,
    Orphan,
    Owner,
    Release,
    RemoveOwners,
    Unblock,
    decide,
    is_waiting,
)
from orchestrator.controllers.garbage.decide_circle import circle_of, unblock_patch
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


class World:
    """Objects that own each other, and the collector's steps on them until nothing changes any more."""

    def __init__(self, owners: dict[str, set[str]]) -> None:
        self.objects = {
            uid: meta(uid, uid=uid, ownerReferences=[ref(owner, block=True) for owner in sorted(owned_by)])
            for uid, owned_by in owners.items()
        }

    def dependents(self, of: ObjectMeta) -> list[ObjectMeta]:
        return [obj for obj in self.objects.values() if any(owner.uid == of.uid for owner in obj.owner_references)]

    def owners(self, of: ObjectMeta) -> list[ObjectMeta]:
        return [self.objects[owner.uid] for owner in of.owner_references if owner.uid in self.objects]

    def change(self, uid: str, **fields: Any) -> None:
        self.objects[uid] = msgspec.structs.replace(self.objects[uid], **fields)

    def delete(self, uid: str, policy: str) -> None:
        finalizers = ("foregroundDeletion",) if policy == "Foreground" else ()
        self.change(uid, deletion_timestamp=CREATED, finalizers=finalizers)
        if not finalizers:
            del self.objects[uid]

    def owner(self, uid: str) -> Owner:
        if uid not in self.objects:
            return Owner.ABSENT
        return Owner.WAITING if is_waiting(self.objects[uid]) else Owner.SOLID

    def step(self, uid: str) -> bool:
        obj = self.objects[uid]
        owners = {owner.uid: self.owner(owner.uid) for owner in obj.owner_references}
        circle = circle_of(obj, self.owners) if is_waiting(obj) else None
        match decide(obj, owners, self.dependents(obj), circle):
            case None | DeleteBlockers():
                return False
            case RemoveOwners(lost):
                kept = tuple(owner for owner in obj.owner_references if owner.uid not in lost)
                self.change(uid, owner_references=kept)
            case Delete(policy):
                self.delete(uid, policy)
            case Release():
                del self.objects[uid]
            case Unblock(member):
                unblocked = {entry["uid"] for entry in unblock_patch(member)["metadata"]["ownerReferences"]}
                assert unblocked
                references = tuple(
                    msgspec.structs.replace(owner, block_owner_deletion=False) if owner.uid in unblocked else owner
                    for owner in self.objects[member.uid].owner_references
                )
                self.change(member.uid, owner_references=references)
        return True

    def settle(self, dice: random.Random) -> None:
        for _ in range(1000):
            order = sorted(self.objects)
            dice.shuffle(order)
            if not any([uid in self.objects and self.step(uid) for uid in order]):
                return
        raise AssertionError("it never comes to rest")


NAMES = ("a", "b", "c", "d", "e")


@given(
    st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), max_size=3), min_size=1),
    st.randoms(use_true_random=False),
)
def test_circles_of_owners_do_not_block_a_foreground_deletion(owners, dice):
    world = World({name: owners.get(name, set()) for name in NAMES})
    root = min(owners)
    # All that is owned, directly or not, by the deleted alone must go; what a free object owns as well stays.
    free = {name for name in NAMES if not owners.get(name) and name != root}
    kept = set(free)
    while True:
        more = {name for name in NAMES if name != root and owners.get(name, set()) & kept} - kept
        if not more:
            break
        kept |= more
    world.delete(root, "Foreground")
    world.settle(dice)
    assert kept <= set(world.objects)
    gone = {root}
    while True:
        more = {name for name in NAMES if owners.get(name) and owners[name] <= gone} - gone
        if not more:
            break
        gone |= more
    assert not gone & set(world.objects)
    assert not any(is_waiting(obj) for obj in world.objects.values())


def test_a_circle_is_cut_at_one_place_from_wherever_it_is_seen():
    world = World({"a": {"c"}, "b": {"a"}, "c": {"b"}})
    for name in "abc":
        world.delete(name, "Foreground")
    assert [circle_of(world.objects[name], world.owners) for name in "abc"] == [world.objects["a"]] * 3


def test_a_circle_of_many_is_cut_and_a_deep_tree_is_none():
    names = [f"n{number:04}" for number in range(3_000)]
    world = World({name: {names[number - 1]} for number, name in enumerate(names)})
    for name in names:
        world.delete(name, "Foreground")
    assert circle_of(world.objects["n1500"], world.owners) is world.objects["n0000"]
    world.change("n0000", owner_references=())
    assert circle_of(world.objects["n1500"], world.owners) is None


def test_what_only_hangs_on_a_circle_is_not_its_member():
    world = World({"a": {"b"}, "b": {"a"}, "c": {"b"}})
    for name in "abc":
        world.delete(name, "Foreground")
    assert circle_of(world.objects["c"], world.owners) is None
    assert circle_of(world.objects["b"], world.owners) is world.objects["a"]


@pytest.mark.parametrize("idle", [0, 1, 2])
def test_a_circle_with_one_that_does_not_wait_is_none(idle):
    world = World({"a": {"c"}, "b": {"a"}, "c": {"b"}})
    for number, name in enumerate("abc"):
        if number != idle:
            world.delete(name, "Foreground")
    for name in "abc":
        if is_waiting(world.objects[name]):
            assert circle_of(world.objects[name], world.owners) is None
