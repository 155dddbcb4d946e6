"""Deployment decisions: the arithmetic, the steps, the conditions."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.deployment.decide import decide
from orchestrator.controllers.deployment.progress import look_again_s, rollout_status
from orchestrator.controllers.deployment.rollout import (
    DESIRED,
    MAX_REPLICAS,
    REVISION,
    Limits,
    expendable,
    is_saturated,
    limits_of,
    rescaled,
    shrink_old,
)
from orchestrator.controllers.templates import same_template, short_hash
from tests.support.controllers import CREATED, NOW, a_deployment, a_pod, a_replicaset, pod_template

_OWNER = "uid-deployment"


def rolling(surge, unavailable):
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(4, "25%", "25%", Limits(1, 1), id="quarters"),
        pytest.param(3, "25%", "25%", Limits(1, 0), id="surge-rounds-up-unavailable-down"),
        pytest.param(10, 0, "5%", Limits(0, 1), id="not-both-zero"),
        pytest.param(0, "25%", "25%", Limits(0, 0), id="nothing-wanted"),
        pytest.param(2, 5, 5, Limits(5, 2), id="never-more-unavailable-than-wanted"),
    ],
)
def test_limits(replicas, surge, unavailable, expected):
    assert limits_of(a_deployment(replicas, strategy=rolling(surge, unavailable))) == expected


def owned(replicas, **fields):
    annotations = {DESIRED: "4", MAX_REPLICAS: "5", **fields.pop("annotations", {})}
    return a_replicaset(replicas, owner=_OWNER, annotations=annotations, **fields)


def test_a_new_template_makes_a_replica_set_named_by_its_hash():
    decision = decide(a_deployment(4), [], {}, NOW)
    assert decision.create is not None
    assert decision.create.name == f"web-{short_hash(pod_template())}"
    assert decision.create.replicas == 4
    assert decision.create.annotations == {REVISION: "1", DESIRED: "4", MAX_REPLICAS: "5"}
    progressing = condition_of(decision.status.conditions, "Progressing")
    assert (progressing.reason, progressing.message) == (
        "NewReplicaSetCreated",
        f'Created new replica set "{decision.create.name}"',
    )


def test_an_update_starts_with_the_surge_and_the_next_revision():
    old = owned(4, name="web-old", available=4, annotations={REVISION: "7"})
    decision = decide(a_deployment(4, image="nginx:2"), [old], {}, NOW)
    assert decision.create is not None
    assert (decision.create.replicas, decision.create.annotations[REVISION]) == (1, "8")


def test_old_pods_go_as_far_as_availability_allows():
    new = owned(1, name="web-new", image="nginx:2", available=0, annotations={REVISION: "2"})
    old = owned(4, name="web-old", available=4, annotations={REVISION: "1"})
    decision = decide(a_deployment(4, image="nginx:2"), [new, old], {}, NOW)
    assert [(scale.rs.metadata.name, scale.replicas) for scale in decision.scale] == [("web-old", 3)]


def test_unavailable_old_pods_go_first():
    new = owned(1, name="web-new", image="nginx:2", available=1)
    broken = owned(2, name="web-broken", available=0, created="2023-11-14T21:30:00Z")
    old = owned(2, name="web-old", available=2)
    deployment = a_deployment(4, strategy=rolling(1, 1))
    scales = shrink_old(deployment, new, [old, broken])
    assert [(scale.rs.metadata.name, scale.replicas) for scale in scales] == [("web-broken", 0)]


def test_recreate_waits_until_the_old_pods_have_ended():
    deployment = a_deployment(2, image="nginx:2", strategy={"type": "Recreate"})
    old = a_replicaset(2, name="web-old", owner=_OWNER, available=2, annotations={DESIRED: "2", REVISION: "1"})
    first = decide(deployment, [old], {}, NOW)
    assert [scale.replicas for scale in first.scale] == [0]
    stopped = a_replicaset(0, name="web-old", owner=_OWNER, annotations={DESIRED: "2", REVISION: "1"})
    ending = {"uid-web-old": [a_pod("a", owner="uid-web-old", terminating=True)]}
    assert decide(deployment, [stopped], ending, NOW).create is None
    # A cache of pods that is behind the ReplicaSets' shows none yet.
    unseen = a_replicaset(0, name="web-old", owner=_OWNER, size=1, annotations={DESIRED: "2", REVISION: "1"})
    assert decide(deployment, [unseen], {}, NOW).create is None
    assert decide(deployment, [stopped], {}, NOW).create is not None


def test_history_waits_for_scaling_and_goes_while_a_deployment_is_paused():
    # More than its history holds; the newest has all pods.
    old = [
        owned(0, name=f"web-{number}", image=f"nginx:{number}", annotations={REVISION: str(number)})
        for number in (2, 3)
    ]
    new = owned(4, annotations={REVISION: "4"})
    limits = {"revisionHistoryLimit": 0}
    for replicas, paused, expected in ((4, True, 2), (6, True, 0), (6, False, 0)):
        decision = decide(a_deployment(replicas, paused=paused, **limits), [new, *old], {}, NOW)
        assert (bool(decision.scale), len(decision.delete)) == (replicas != 4, expected)


def test_a_paused_deployment_scales_but_does_not_roll():
    old = owned(4, name="web-old", available=4)
    decision = decide(a_deployment(6, image="nginx:2", paused=True), [old], {}, NOW)
    assert decision.create is None
    assert [(scale.rs.metadata.name, scale.replicas) for scale in decision.scale] == [("web-old", 6)]
    assert condition_of(decision.status.conditions, "Progressing").reason == "DeploymentPaused"


def test_scaling_during_a_rollout_keeps_the_proportion():
    new = owned(2, name="web-new", image="nginx:2", available=1, annotations={MAX_REPLICAS: "10", DESIRED: "10"})
    old = owned(8, name="web-old", available=8, annotations={MAX_REPLICAS: "10", DESIRED: "10"})
    deployment = a_deployment(20, strategy=rolling(0, 5))
    scales = {scale.rs.metadata.name: scale.replicas for scale in rescaled(deployment, new, [old])}
    assert scales == {"web-old": 16, "web-new": 4}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(15, [8, 5, 2], id="a-half-goes-up"),
        pytest.param(14, [7, 4, 3], id="less-than-a-half-goes-down"),
        pytest.param(7, [4, 2, 1], id="down-as-well"),
        pytest.param(0, [0, 0, 0], id="to-nothing"),
    ],
)
def test_scaling_in_proportion_rounds_to_the_nearest(wanted, expected):
    size = {MAX_REPLICAS: "10", DESIRED: "10"}
    first, second, new = (
        owned(replicas, name=name, image=name, available=replicas, annotations=size)
        for name, replicas in (("web-1", 5), ("web-2", 3), ("web-3", 2))
    )
    scales = {
        scale.rs.metadata.name: scale.replicas
        for scale in rescaled(a_deployment(wanted, strategy=rolling(0, 5)), new, [first, second])
    }
    assert [scales.get(rs.metadata.name, rs.spec.replicas) for rs in (first, second, new)] == expected


def test_unavailable_old_pods_stay_as_long_as_the_new_ones_are_not_available_either():
    new = owned(2, name="web-new", image="nginx:2", available=0)
    old = owned(3, name="web-old", available=1)
    assert shrink_old(a_deployment(4, strategy=rolling(1, 1)), new, [old]) == ()


def test_a_pause_does_not_hide_a_missed_deadline():
    missed = {
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": CREATED,
        "lastTransitionTime": CREATED, "message": "it stood still",
    }  # fmt: skip
    deployment = a_deployment(4, paused=True, status={"conditions": [missed]})
    decision = decide(deployment, [owned(4, name="web-new", annotations={REVISION: "1"})], {}, NOW)
    condition = condition_of(decision.status.conditions, "Progressing")
    assert (condition.status, condition.reason) == ("False", "ProgressDeadlineExceeded")
    assert condition.message == "it stood still"


def test_a_replica_set_that_keeps_its_size_still_remembers_the_new_count():
    new = owned(4, name="web-new", annotations={DESIRED: "9", REVISION: "1"})
    decision = decide(a_deployment(4), [new], {}, NOW)
    assert [(scale.rs.metadata.name, scale.replicas) for scale in decision.scale] == [("web-new", 4)]


def test_rolling_back_makes_the_old_replica_set_the_newest_revision():
    first = owned(0, name="web-first", annotations={REVISION: "1"})
    second = owned(4, name="web-second", image="nginx:2", available=4, annotations={REVISION: "2"})
    [mark] = decide(a_deployment(4), [first, second], {}, NOW).marks
    assert mark.rs.metadata.name == "web-first"
    assert mark.annotations == {REVISION: "3", "deployment.kubernetes.io/revision-history": "1"}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(None, False, id="none-yet"),
        pytest.param(owned(4, available=4), True, id="all-of-it"),
        pytest.param(owned(3, available=4), False, id="too-few"),
        pytest.param(owned(4, available=3), False, id="not-all-available"),
        pytest.param(owned(4, available=4, annotations={DESIRED: "5"}), False, id="made-for-another-size"),
    ],
)
def test_when_the_newest_alone_is_all_that_is_wanted(new, expected):
    assert is_saturated(a_deployment(4), new) is expected


def test_history_beyond_the_limit_goes_oldest_first():
    old = [owned(0, name=f"web-{number}", annotations={REVISION: str(number)}) for number in (3, 1, 2)]
    chosen = expendable(a_deployment(4, revisionHistoryLimit=1), old)
    assert [rs.metadata.name for rs in chosen] == ["web-1", "web-2"]


def test_history_is_kept_until_its_newest_generation_is_observed():
    told = owned(0, name="web-1", annotations={REVISION: "1"})
    # Its controller has not looked since it was last written: its pods may still be there.
    untold = owned(0, name="web-2", generation=2, annotations={REVISION: "2"})
    assert expendable(a_deployment(4, revisionHistoryLimit=0), [told, untold]) == (told,)


def test_history_is_not_cut_shorter_for_what_cannot_go_yet():
    oldest = owned(0, name="web-1", size=1, annotations={REVISION: "1"})
    newer = [owned(0, name=f"web-{number}", annotations={REVISION: str(number)}) for number in (2, 3)]
    assert expendable(a_deployment(4, revisionHistoryLimit=2), [oldest, *newer]) == ()


def test_complete_then_settled():
    new = owned(4, name="web-new", available=4, annotations={REVISION: "1"})
    deployment = a_deployment(4)
    status = rollout_status(deployment, new, [new], NOW)
    condition = condition_of(status.conditions, "Progressing")
    assert (condition.status, condition.reason) == ("True", "NewReplicaSetAvailable")
    assert condition.message == 'ReplicaSet "web-new" has successfully progressed.'
    assert condition_of(status.conditions, "Available").reason == "MinimumReplicasAvailable"
    settled = msgspec.structs.replace(deployment, status=status)
    assert rollout_status(settled, new, [new], NOW + 999) == status


def test_a_rollout_that_does_not_move_misses_its_deadline():
    started = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": CREATED}
    status = {"replicas": 4, "updatedReplicas": 4, "conditions": [started]}
    new = owned(4, name="web-new")
    deployment = a_deployment(4, status=status)
    condition = condition_of(rollout_status(deployment, new, [new], NOW).conditions, "Progressing")
    assert (condition.status, condition.reason) == ("False", "ProgressDeadlineExceeded")
    assert condition.message == 'ReplicaSet "web-new" has timed out progressing.'
    early = NOW - 4400 + 300
    in_time = rollout_status(deployment, new, [new], early)
    assert condition_of(in_time.conditions, "Progressing").reason == "ReplicaSetUpdated"
    assert look_again_s(deployment, in_time, early) == 301.0


@pytest.mark.parametrize("deadline_s", [None, 2147483647])
def test_without_a_deadline_nothing_is_said_of_progress(deadline_s):
    deployment = a_deployment(4, progressDeadlineSeconds=deadline_s)
    decision = decide(deployment, [], {}, NOW)
    assert condition_of(decision.status.conditions, "Progressing") is None
    new = owned(4, name="web-new", annotations={REVISION: "1"})
    status = rollout_status(deployment, new, [new], NOW)
    assert condition_of(status.conditions, "Progressing") is None
    assert look_again_s(deployment, status, NOW) is None
    paused = decide(a_deployment(4, progressDeadlineSeconds=deadline_s, paused=True), [new], {}, NOW).status
    assert condition_of(paused.conditions, "Progressing") is None


def test_terminating_pods_are_summed_once_every_replica_set_has_said():
    def with_terminating(rs, count):
        return msgspec.structs.replace(rs, status=msgspec.structs.replace(rs.status, terminating_replicas=count))

    new, old = owned(4, name="web-new"), owned(0, name="web-old", image="nginx:0")
    said = [with_terminating(new, 1), with_terminating(old, 2)]
    assert rollout_status(a_deployment(4), said[0], said, NOW).terminating_replicas == 3
    assert rollout_status(a_deployment(4), new, [new, said[1]], NOW).terminating_replicas is None


def test_the_same_template_in_another_order_is_the_same():
    one, other = pod_template(), dict(reversed(list(pod_template().items())))
    assert same_template(one, other)
    assert short_hash(one) == short_hash(other)
    assert short_hash(one) != short_hash(one, collisions=1)
    labelled = pod_template(labels={"app": "web", "pod-template-hash": "x"})
    assert same_template(one, labelled)
    assert not same_template(one, pod_template("nginx:2"))


class World:
    """ReplicaSets as numbers: pods become available and fail as chance has it, within what the sizes ask for."""

    def __init__(self, replicas, surge, unavailable):
        self.deployment = a_deployment(replicas, strategy=rolling(surge, unavailable))
        self.names = itertools.count()
        self.sets = []

    def step(self, dice, *, everything_starts):
        decision = decide(self.deployment, self.sets, {}, NOW)
        assert sum(map(bool, (decision.create, decision.scale, decision.marks))) <= 1
        if decision.create is not None:
            made = decision.create
            fresh = a_replicaset(
                made.replicas,
                name=f"web-{next(self.names)}",
                owner=_OWNER,
                annotations=dict(made.annotations),
                size=0,
            )
            spec = msgspec.structs.replace(fresh.spec, template=self.deployment.spec.template)
            self.sets.append(msgspec.structs.replace(fresh, spec=spec))
        sizes = {scale.rs.metadata.uid: scale.replicas for scale in decision.scale}
        marks = {mark.rs.metadata.uid: mark.annotations for mark in decision.marks}
        desired = {DESIRED: str(self.deployment.spec.replicas)}
        self.sets = [self._written(rs, sizes, marks, desired, None if everything_starts else dice) for rs in self.sets]
        if decision.status is not None:
            self.deployment = msgspec.structs.replace(self.deployment, status=decision.status)
        return decision

    def _written(self, rs, sizes, marks, desired, dice):
        uid = rs.metadata.uid
        annotations = {**rs.metadata.annotations, **marks.get(uid, {}), **(desired if uid in sizes else {})}
        replicas = sizes.get(uid, rs.spec.replicas)
        # A ReplicaSet deletes its unavailable pods first, and pods become available at any pace.
        available = min(rs.status.available_replicas, replicas)
        available = dice.randint(available, replicas) if dice is not None else replicas
        status = msgspec.structs.replace(
            rs.status, replicas=replicas, available_replicas=available, ready_replicas=available
        )
        return msgspec.structs.replace(
            rs,
            metadata=msgspec.structs.replace(rs.metadata, annotations=annotations),
            spec=msgspec.structs.replace(rs.spec, replicas=replicas),
            status=status,
        )


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 8),
    surge=st.sampled_from([0, 1, 3, "25%", "100%"]),
    unavailable=st.sampled_from([0, 1, 2, "25%", "50%"]),
    dice=st.randoms(use_true_random=False),
)
def test_a_rollout_converges_within_its_limits(replicas, surge, unavailable, dice):
    world = World(replicas, surge, unavailable)
    for _ in range(8):
        world.step(dice, everything_starts=True)
    limits = limits_of(world.deployment)
    template = a_deployment(1, image="nginx:2").spec.template
    spec = msgspec.structs.replace(world.deployment.spec, template=template)
    world.deployment = msgspec.structs.replace(world.deployment, spec=spec)
    for number in range(20 + 9 * replicas):
        world.step(dice, everything_starts=number % 3 == 0)
        assert sum(rs.spec.replicas for rs in world.sets) <= replicas + limits.surge
        assert sum(rs.status.available_replicas for rs in world.sets) >= replicas - limits.unavailable
    assert sorted(rs.spec.replicas for rs in world.sets) == [0, replicas]
    assert condition_of(world.deployment.status.conditions, "Progressing").reason == "NewReplicaSetAvailable"
