"""StatefulSet decisions: order, revisions, status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.workloads import ControllerRevision
from orchestrator.controllers.statefulset.decide import BURST_MAX, CreatePod, decide, ordinal_of, status_of
from orchestrator.controllers.statefulset.revisions import (
    NewRevision,
    Renumber,
    Revisions,
    decide_revisions,
    expendable,
)
from orchestrator.controllers.statefulset.shell import pod_of, revision_of
from tests.support.controllers import NOW, a_pod, a_statefulset, a_view, owner_body, pod_template

ONE = Revisions("web-1", "web-1")
OWNER = owner_body("StatefulSet", "web", "uid-web")
TWO = Revisions("web-1", "web-2")


def member(ordinal, *, revision="web-1", **fields):
    labels = {"app": "web", "controller-revision-hash": revision}
    return a_pod(f"web-{ordinal}", kind="StatefulSet", labels=labels, **fields)


def names(pods):
    return tuple(pod.metadata.name for pod in pods)


@pytest.mark.parametrize(
    ("sts", "pods", "create", "delete"),
    [
        pytest.param(a_statefulset(2), [], (0,), (), id="the-first-comes-alone"),
        pytest.param(a_statefulset(2), [member(0)], (1,), (), id="the-next-when-the-first-is-ready"),
        pytest.param(a_statefulset(2), [member(0, ready=False)], (), (), id="not-before"),
        pytest.param(a_statefulset(2), [member(1)], (0,), (), id="a-gap-is-filled"),
        pytest.param(a_statefulset(2), [member(0, terminating=True), member(1)], (), (), id="a-going-one-is-awaited"),
        pytest.param(a_statefulset(1), [member(0, phase="Failed")], (), ("web-0",), id="a-failed-one-starts-again"),
        pytest.param(a_statefulset(1), [member(0), member(1), member(2)], (), ("web-2",), id="the-highest-goes-first"),
        pytest.param(
            a_statefulset(1), [member(0), member(1), member(2, terminating=True)], (), (), id="one-at-a-time"
        ),
        pytest.param(
            a_statefulset(1), [member(0, ready=False), member(1)], (), (), id="none-goes-while-another-is-not-ready"
        ),
        pytest.param(a_statefulset(1), [member(0), member(1, ready=False)], (), ("web-1",), id="an-unready-one-may-go"),
        pytest.param(
            a_statefulset(0), [member(0, ready=False), member(1, ready=False)], (), (),
            id="two-unready-ones-hold-up-each-other",
        ),
        pytest.param(
            a_statefulset(3, podManagementPolicy="Parallel"), [member(1, ready=False)], (0, 2), (), id="parallel-starts"
        ),
        pytest.param(
            a_statefulset(0, podManagementPolicy="Parallel"), [member(0), member(1)], (), ("web-1", "web-0"),
            id="parallel-stops",
        ),
        pytest.param(a_statefulset(1, ordinals={"start": 5}), [], (5,), (), id="counting-starts-elsewhere"),
    ],
)  # fmt: skip
def test_decide(sts, pods, create, delete):
    decision = decide(sts, pods, ONE, NOW)
    assert (tuple(wanted.ordinal for wanted in decision.create), names(decision.delete)) == (create, delete)


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_the_largest_set_that_may_be_asked_for_is_taken_in_steps(policy):
    pods = [member(n) for n in range(3)]
    decision = decide(a_statefulset(2**31 - 1, podManagementPolicy=policy), pods, ONE, NOW)
    steps = 1 if policy == "OrderedReady" else BURST_MAX
    assert [wanted.ordinal for wanted in decision.create] == list(range(3, 3 + steps))
    assert decision.why == f"{2**31 - 4} pods missing"


def test_an_update_replaces_the_highest_first_and_waits():
    pods = [member(0), member(1), member(2)]
    assert names(decide(a_statefulset(3), pods, TWO, NOW).delete) == ("web-2",)
    pods[2] = member(2, revision="web-2")
    assert names(decide(a_statefulset(3), pods, TWO, NOW).delete) == ("web-1",)


def test_an_update_stops_at_the_partition_and_lost_pods_below_it_come_back_as_they_were():
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    sts = a_statefulset(3, updateStrategy=strategy)
    pods = [member(0), member(1), member(2, revision="web-2")]
    assert not decide(sts, pods, TWO, NOW).is_a_change
    assert decide(sts, pods[1:], TWO, NOW).create == (CreatePod(0, "web-1"),)
    assert decide(sts, pods[:2], TWO, NOW).create == (CreatePod(2, "web-2"),)


PARALLEL = {"podManagementPolicy": "Parallel"}
JUST_NOW = "2023-11-14T22:13:10Z"


def rolling(**fields):
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": fields}}


@pytest.mark.parametrize(
    ("sts", "pods", "delete"),
    [
        pytest.param(
            a_statefulset(3, **PARALLEL), [member(0), member(1), member(2, terminating=True)], (),
            id="a-terminating-pod-is-awaited-in-parallel-too",
        ),
        pytest.param(
            a_statefulset(2, **PARALLEL), [member(0, ready=False), member(1)], ("web-0",),
            id="the-only-one-that-serves-stays",
        ),
        pytest.param(
            a_statefulset(3, **PARALLEL), [member(0), member(1), member(2, ready=False, revision="web-2")], (),
            id="nobody-goes-while-a-new-one-is-not-ready",
        ),
        pytest.param(
            a_statefulset(3, minReadySeconds=60, **PARALLEL),
            [member(0), member(1), member(2, revision="web-2", ready_since=JUST_NOW)], (),
            id="a-new-one-must-be-available-in-parallel-too",
        ),
        pytest.param(
            a_statefulset(3, minReadySeconds=60, **PARALLEL), [member(n, ready_since=JUST_NOW) for n in range(3)], (),
            id="pods-that-are-ready-and-not-yet-available-serve-and-do-not-go-all-at-once",
        ),
        pytest.param(
            a_statefulset(3, minReadySeconds=60, **PARALLEL, **rolling(maxUnavailable=2)),
            [member(0), member(1), member(2, ready_since=JUST_NOW)], ("web-2",),
            id="one-not-yet-available-uses-up-what-may-be-unavailable",
        ),
        pytest.param(
            a_statefulset(4, **PARALLEL, **rolling(maxUnavailable=2)), [member(n) for n in range(4)],
            ("web-3", "web-2"), id="two-at-once",
        ),
        pytest.param(
            a_statefulset(4, **rolling(maxUnavailable="50%")), [member(n) for n in range(4)],
            ("web-3", "web-2"), id="half-at-once",
        ),
        pytest.param(
            a_statefulset(3, **rolling(maxUnavailable="10%")), [member(n) for n in range(3)], ("web-2",),
            id="a-percentage-rounds-down-and-is-never-none",
        ),
        pytest.param(
            a_statefulset(4, **PARALLEL, **rolling(maxUnavailable=2)),
            [member(0), member(1), member(2), member(3, terminating=True)], ("web-2",), id="what-goes-counts",
        ),
        pytest.param(
            a_statefulset(3, **rolling(partition=2, maxUnavailable=3)), [member(n) for n in range(3)], ("web-2",),
            id="only-down-to-the-partition",
        ),
        pytest.param(
            a_statefulset(3, ordinals={"start": 5}, **rolling(partition=1)), [member(n) for n in (5, 6, 7)],
            ("web-7",), id="the-partition-counts-from-the-first-ordinal",
        ),
        pytest.param(
            a_statefulset(3, ordinals={"start": 5}, **rolling(partition=1)),
            [member(5), member(6, revision="web-2"), member(7, revision="web-2")], (),
            id="the-first-ordinals-are-kept-where-counting-starts-elsewhere",
        ),
    ],
)  # fmt: skip
def test_an_update_goes_as_far_as_availability_allows(sts, pods, delete):
    assert names(decide(sts, pods, TWO, NOW).delete) == delete


def test_a_pod_lost_below_the_partition_comes_back_as_it_was_where_counting_starts_elsewhere():
    sts = a_statefulset(3, ordinals={"start": 5}, **rolling(partition=1))
    pods = [member(5), member(6, revision="web-2"), member(7, revision="web-2")]
    assert decide(sts, pods[1:], TWO, NOW).create == (CreatePod(5, "web-1"),)
    assert decide(sts, [pods[0], pods[2]], TWO, NOW).create == (CreatePod(6, "web-2"),)


def test_lost_pods_do_not_make_the_update_complete():
    sts = a_statefulset(3, **rolling(partition=2))
    status = status_of(sts, [member(2, revision="web-2")], TWO, NOW)
    assert (status.current_revision, status.update_revision) == ("web-1", "web-2")


def test_on_delete_replaces_nothing_by_itself():
    sts = a_statefulset(1, updateStrategy={"type": "OnDelete"})
    assert not decide(sts, [member(0)], TWO, NOW).is_a_change
    assert decide(sts, [], TWO, NOW).create == (CreatePod(0, "web-2"),)


def test_a_pod_by_another_name_is_no_member():
    orphan = a_pod("other-0", owner=None)
    assert not decide(a_statefulset(0), [orphan], ONE, NOW).is_a_change
    assert names(decide(a_statefulset(0), [a_pod("web-0", owner=None)], ONE, NOW).adopt) == ("web-0",)
    assert ordinal_of("web", "web-01") is None
    assert ordinal_of("web", "web-db-1") is None
    assert ordinal_of("web-db", "web-db-12") == 12


@given(
    replicas=st.integers(0, 6),
    alive=st.sets(st.integers(0, 8)),
    parallel=st.booleans(),
    outdated=st.booleans(),
)
def test_it_converges_and_never_creates_and_deletes_at_once(replicas, alive, parallel, outdated):
    sts = a_statefulset(replicas, podManagementPolicy="Parallel" if parallel else "OrderedReady")
    pods = {f"web-{ordinal}": member(ordinal) for ordinal in alive}
    for _ in range(40):
        decision = decide(sts, list(pods.values()), TWO if outdated else ONE, NOW)
        assert not (decision.create and decision.delete)
        if not parallel:
            assert len(decision.create) + len(decision.delete) <= 1
        for pod in decision.delete:
            del pods[pod.metadata.name]
        for wanted in decision.create:
            pods[f"web-{wanted.ordinal}"] = member(wanted.ordinal, revision=wanted.revision)
    assert sorted(pods) == sorted(f"web-{ordinal}" for ordinal in range(replicas))
    revisions = {pod.metadata.labels["controller-revision-hash"] for pod in pods.values()}
    assert not outdated or revisions <= {"web-2"}


def test_status_counts_by_revision_and_settles_when_all_are_updated():
    sts = a_statefulset(3)
    pods = [member(0), member(1, revision="web-2"), member(2, revision="web-2", ready=False)]
    status = status_of(sts, pods, TWO, NOW)
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (3, 2, 2)
    assert (status.current_replicas, status.updated_replicas) == (1, 2)
    assert (status.current_revision, status.update_revision) == ("web-1", "web-2")
    done = status_of(sts, [member(number, revision="web-2") for number in range(3)], TWO, NOW)
    assert (done.current_revision, done.current_replicas) == ("web-2", 3)


def a_revision(name, number, image):
    data = {"spec": {"template": {**pod_template(image), "$patch": "replace"}}}
    body = {"metadata": {"name": name, "uid": f"uid-{name}"}, "data": data, "revision": number}
    return a_view(ControllerRevision, body)


def test_a_new_template_makes_a_revision_that_kubectl_can_apply():
    plan = decide_revisions(a_statefulset(1), [])
    assert isinstance(plan, NewRevision)
    assert plan.number == 1
    body = revision_of(a_statefulset(1), plan, OWNER)
    assert body["data"]["spec"]["template"]["$patch"] == "replace"
    assert body["metadata"]["name"].startswith("web-")


def test_a_template_used_before_becomes_the_newest_revision_again():
    old, newer = a_revision("web-1", 1, "nginx:1"), a_revision("web-2", 2, "nginx:2")
    plan = decide_revisions(a_statefulset(1), [newer, old])
    assert plan == Renumber(old, 3)
    again = a_revision("web-1", 3, "nginx:1")
    sts = a_statefulset(1, status={"currentRevision": "web-2"})
    assert decide_revisions(sts, [newer, again]) == Revisions("web-2", "web-1")


def test_unused_revisions_beyond_the_limit_go():
    revisions = [a_revision(f"web-{number}", number, f"nginx:{number}") for number in range(1, 6)]
    chosen = expendable(a_statefulset(1, revisionHistoryLimit=1), revisions, {"web-5", "web-1"})
    assert [revision.metadata.name for revision in chosen] == ["web-2", "web-3"]


def test_the_pod_has_a_claim_of_its_own_of_each_template():
    template = pod_template()
    template["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}]
    claims = [{"metadata": {"name": "data"}}, {"metadata": {"name": "log"}}]
    body = pod_of(a_statefulset(1, volumeClaimTemplates=claims), CreatePod(3, "web-1"), template, OWNER)
    assert body["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-3"}},
        {"name": "log", "persistentVolumeClaim": {"claimName": "log-web-3"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    assert "volumes" not in pod_of(a_statefulset(1), CreatePod(3, "web-1"), pod_template(), OWNER)["spec"]


def test_the_pod_has_its_identity():
    body = pod_of(a_statefulset(1), CreatePod(3, "web-1"), pod_template(), OWNER)
    assert body["metadata"]["name"] == body["spec"]["hostname"] == "web-3"
    assert body["spec"]["subdomain"] == "web"
    assert body["metadata"]["labels"] == {
        "app": "web",
        "statefulset.kubernetes.io/pod-name": "web-3",
        "apps.kubernetes.io/pod-index": "3",
        "controller-revision-hash": "web-1",
    }
