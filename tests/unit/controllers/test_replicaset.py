"""ReplicaSet decisions, by table and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.meta import Condition
from orchestrator.controllers.pod_facts import cheapest_to_lose
from orchestrator.controllers.replicaset.decide import BURST_MAX, decide, look_again_s, status_of
from orchestrator.controllers.replicaset.shell import pod_of
from tests.support.controllers import CREATED, NOW, a_pod, a_replicaset, owner_body


def names(pods):
    return tuple(pod.metadata.name for pod in pods)


@pytest.mark.parametrize(
    ("replicas", "pods", "create", "delete"),
    [
        pytest.param(2, [a_pod("a")], 1, (), id="one-missing"),
        pytest.param(1, [a_pod("a")], 0, (), id="as-wanted"),
        pytest.param(0, [a_pod("a")], 0, ("a",), id="none-wanted"),
        pytest.param(1, [a_pod("a", phase="Failed")], 1, (), id="a-failed-pod-does-not-count"),
        pytest.param(1, [a_pod("a", terminating=True)], 1, (), id="a-terminating-pod-does-not-count"),
        pytest.param(1, [a_pod("a"), a_pod("b", owner="uid-other")], 0, (), id="anothers-pods-do-not-count"),
        pytest.param(1, [a_pod("a"), a_pod("b", node="")], 0, ("b",), id="unscheduled-goes-first"),
        pytest.param(1, [a_pod("a"), a_pod("b", ready=False)], 0, ("b",), id="unready-goes-before-ready"),
        pytest.param(
            1,
            [a_pod("a"), a_pod("b", ready=False, phase="Pending"), a_pod("c", ready=False)],
            0,
            ("b", "c"),
            id="pending-goes-before-running",
        ),
        pytest.param(
            1,
            [
                a_pod("a", annotations={"controller.kubernetes.io/pod-deletion-cost": "10"}),
                a_pod("b", annotations={"controller.kubernetes.io/pod-deletion-cost": "-10"}),
            ],
            0,
            ("b",),
            id="low-deletion-cost-goes-first",
        ),
        pytest.param(
            2, [a_pod("a", node="n1"), a_pod("b", node="n2"), a_pod("c", node="n2")], 0, ("b",), id="crowded-node-first"
        ),
        pytest.param(
            1,
            [a_pod("old"), a_pod("young", ready_since="2023-11-14T22:13:00Z")],
            0,
            ("young",),
            id="ready-for-a-shorter-time-goes-first",
        ),
    ],
)
def test_decide(replicas, pods, create, delete):
    decision = decide(a_replicaset(replicas), pods, pods, NOW)
    assert (decision.create, names(decision.delete)) == (create, delete)
    assert not decision.adopt
    assert not decision.release


def test_an_orphan_that_matches_is_adopted_before_anything_is_created():
    decision = decide(a_replicaset(3), [a_pod("a", owner=None)], [], NOW)
    assert (names(decision.adopt), decision.create) == (("a",), 0)


def test_an_orphan_that_ended_or_matches_not_is_left_alone():
    orphans = [a_pod("a", owner=None, phase="Failed"), a_pod("b", owner=None, labels={"app": "other"})]
    decision = decide(a_replicaset(0), orphans, [], NOW)
    assert not decision.is_a_change


def test_a_pod_whose_labels_changed_is_released():
    decision = decide(a_replicaset(1), [a_pod("a", labels={"app": "other"})], [], NOW)
    assert names(decision.release) == ("a",)
    assert not decision.create


def test_a_replica_set_that_is_being_deleted_does_nothing():
    rs = a_replicaset(3, deletionTimestamp=CREATED)
    assert not decide(rs, [a_pod("a", owner=None)], [], NOW).is_a_change


@given(replicas=st.integers(0, 800), alive=st.integers(0, 800))
def test_it_converges_and_never_creates_and_deletes_at_once(replicas, alive):
    rs = a_replicaset(replicas)
    pods = [a_pod(f"p{number}") for number in range(alive)]
    made = alive
    for _ in range(3):
        decision = decide(rs, pods, pods, NOW)
        assert not (decision.create and decision.delete)
        assert max(decision.create, len(decision.delete)) <= BURST_MAX
        doomed = set(names(decision.delete))
        pods = [pod for pod in pods if pod.metadata.name not in doomed]
        pods += [a_pod(f"p{made + number}") for number in range(decision.create)]
        made += decision.create
    assert len(pods) == replicas


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["n1", "n2", ""])), max_size=20), st.randoms())
def test_the_order_of_loss_does_not_depend_on_the_order_of_the_cache(facts, dice):
    pods = [a_pod(f"p{number}", ready=ready, node=node) for number, (ready, node) in enumerate(facts)]
    mixed = list(pods)
    dice.shuffle(mixed)
    count = len(pods) // 2
    assert cheapest_to_lose(pods, count, related=pods, now=NOW) == cheapest_to_lose(
        mixed, count, related=mixed, now=NOW
    )


def test_status_counts_what_there_is():
    rs = a_replicaset(4, min_ready_s=60)
    pods = [
        a_pod("a"),
        a_pod("b", ready_since="2023-11-14T22:13:10Z"),
        a_pod("c", ready=False),
        a_pod("d", terminating=True),
        a_pod("e", phase="Failed"),
        a_pod("f", phase="Failed", terminating=True),
    ]
    status = status_of(rs, pods, NOW)
    assert status.terminating_replicas == 1
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (3, 2, 1)
    assert (status.fully_labeled_replicas, status.observed_generation) == (3, 1)
    assert look_again_s(rs, pods, NOW) == 50.0


def test_a_refusal_becomes_a_condition_and_goes_with_the_next_success():
    rs = a_replicaset(1)
    failed = status_of(rs, [], NOW, failure=("FailedCreate", "quota exceeded"))
    assert failed.conditions == (
        Condition(
            type="ReplicaFailure",
            status="True",
            reason="FailedCreate",
            message="quota exceeded",
            last_transition_time="2023-11-14T22:13:20Z",
        ),
    )
    assert status_of(rs, [], NOW).conditions == ()


def test_the_pod_is_the_template_and_belongs_to_the_replica_set():
    body = pod_of(a_replicaset(1), owner_body("ReplicaSet", "web", "uid-web"))
    assert body["metadata"] == {
        "generateName": "web-",
        "labels": {"app": "web"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "web",
                "uid": "uid-web",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert body["spec"]["containers"][0]["image"] == "nginx:1"
