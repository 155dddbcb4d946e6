"""Nodes' health, their taints, and when pods have to leave."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.api.views.cluster import Taint
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.workloads import Toleration
from orchestrator.controllers.node_lifecycle.decide import NOT_READY, UNREACHABLE, Eviction, decide, lost, regained
from orchestrator.controllers.node_lifecycle.decide_eviction import NEVER, bound_at, evict_at, since
from orchestrator.controllers.node_lifecycle.decide_eviction import tolerates as covers
from tests.support.controllers import CREATED, NOW, a_node, a_pod

CREATED_S = 1_699_995_600.0


def test_a_silent_node_becomes_unknown_and_is_tainted():
    decision = decide(a_node(), silent=True, eviction=Eviction.NOW, now=NOW)
    by_type = {condition.type: condition for condition in decision.conditions}
    assert (by_type["Ready"].status, by_type["Ready"].reason) == ("Unknown", "NodeStatusUnknown")
    assert by_type["Ready"].last_heartbeat_time == CREATED
    assert by_type["DiskPressure"].reason == "NodeStatusNeverUpdated"
    assert [(taint.key, taint.effect) for taint in decision.taints] == [
        (UNREACHABLE, "NoSchedule"),
        (UNREACHABLE, "NoExecute"),
    ]
    assert decision.is_unreachable


def test_what_is_so_already_is_not_written():
    taints = [
        {"key": UNREACHABLE, "effect": "NoSchedule"},
        {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": CREATED},
    ]
    node = a_node(ready="Unknown", reason="NodeStatusUnknown", taints=taints)
    assert decide(node, silent=False, eviction=Eviction.NOW, now=NOW).taints is None


@pytest.mark.parametrize(
    ("node", "eviction", "expected"),
    [
        pytest.param(a_node(), Eviction.NOW, None, id="healthy"),
        pytest.param(a_node(ready="False"), Eviction.NOW, [NOT_READY, NOT_READY], id="not-ready"),
        pytest.param(a_node(ready="False"), Eviction.NEVER, [NOT_READY], id="nobody-is-ready"),
        pytest.param(a_node(ready="False"), Eviction.LATER, [NOT_READY], id="others-come-first"),
        pytest.param(
            a_node(ready="False", taints=[{"key": UNREACHABLE, "effect": "NoExecute"}]),
            Eviction.LATER,
            [NOT_READY, NOT_READY],
            id="what-evicts-already-goes-on-evicting",
        ),
        pytest.param(
            a_node(ready="False", taints=[{"key": NOT_READY, "effect": "NoExecute"}]),
            Eviction.NEVER,
            [NOT_READY],
            id="evictions-end-when-nobody-is-ready",
        ),
        pytest.param(a_node(unschedulable=True), Eviction.NOW, ["node.kubernetes.io/unschedulable"], id="cordoned"),
        pytest.param(
            a_node(taints=[{"key": NOT_READY, "effect": "NoSchedule"}, {"key": "mine", "effect": "NoExecute"}]),
            Eviction.NOW,
            ["mine"],
            id="back-again-keeps-the-users-own",
        ),
        pytest.param(
            a_node(ready=None, taints=[{"key": NOT_READY, "effect": "NoSchedule"}]),
            Eviction.NOW,
            None,
            id="never-heard-yet",
        ),
    ],
)
def test_taints(node, eviction, expected):
    decision = decide(node, silent=False, eviction=eviction, now=NOW)
    found = None if decision.taints is None else [taint.key for taint in decision.taints]
    assert found == expected
    assert not decision.conditions


def tolerates(seconds=None, key=UNREACHABLE, effect="NoExecute"):
    return Toleration(key=key, operator="Exists", effect=effect, toleration_seconds=seconds)


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], 0.0, id="not-tolerated"),
        pytest.param([tolerates(300)], CREATED_S + 300, id="for-a-while"),
        pytest.param([tolerates(300), tolerates(20)], CREATED_S + 300, id="the-first-that-matches-counts"),
        pytest.param([tolerates(), tolerates(20)], NEVER, id="the-first-that-matches-counts-for-ever"),
        pytest.param([tolerates(300), tolerates(20, key="other")], CREATED_S + 20, id="of-two-taints-the-sooner"),
        pytest.param([tolerates(0), tolerates(20, key="other")], 0.0, id="zero-is-at-once"),
        pytest.param([tolerates()], NEVER, id="for-ever"),
        pytest.param([tolerates(key="")], NEVER, id="everything"),
        pytest.param([tolerates(key=NOT_READY)], 0.0, id="another-taint"),
        pytest.param([tolerates(effect="NoSchedule")], 0.0, id="another-effect"),
        pytest.param([tolerates(-1)], 0.0, id="negative-is-at-once"),
    ],
)
def test_eviction(tolerations, expected):
    taints = [Taint(key=UNREACHABLE, effect="NoSchedule"), Taint(UNREACHABLE, "", "NoExecute", CREATED)]
    if len(tolerations) > 1 and tolerations[1].key == "other":
        taints.append(Taint(key="other", effect="NoExecute", time_added=CREATED))
    assert evict_at(tolerations, since(taints, {}, now=NOW), bound_at=0.0) == expected


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration(key="k", value="v"), True),
        (Toleration(key="k", value="other"), False),
        (Toleration(key="k", operator="Exists"), True),
        (Toleration(key="other", value="v"), False),
        (Toleration(value="v"), False),
        (Toleration(key="k", value="v", effect="NoExecute"), True),
        (Toleration(key="k", value="v", effect="NoSchedule"), False),
    ],
)
def test_a_toleration_covers_a_taint_by_effect_key_and_value(toleration, expected):
    assert covers(toleration, Taint(key="k", value="v", effect="NoExecute")) is expected


@pytest.mark.parametrize(
    ("time_added", "bound_at_s", "expected"),
    [
        pytest.param(None, 0.0, NOW + 300, id="a-taint-that-does-not-say-since-when-is-new"),
        pytest.param("2033-05-18T03:33:20Z", 0.0, NOW + 300, id="a-moment-to-come-is-not-believed"),
        pytest.param("nonsense", 0.0, NOW + 300, id="nor-is-nonsense"),
        pytest.param(CREATED, NOW - 10, NOW + 290, id="nobody-tolerates-before-being-there"),
    ],
)
def test_toleration_counts_from_when_both_are_there(time_added, bound_at_s, expected):
    taints = since([Taint(UNREACHABLE, "", "NoExecute", time_added)], {}, now=NOW)
    assert evict_at([tolerates(300)], taints, bound_at=bound_at_s) == expected


def test_what_was_seen_of_a_taint_stays_as_long_as_the_taint():
    taint = Taint("mine", "", "NoExecute")
    seen = since([taint], {}, now=NOW)
    assert since([taint], seen, now=NOW + 60) == {taint: NOW}
    assert since([], seen, now=NOW + 60) == {}


def test_a_pod_is_on_its_node_since_it_was_bound():
    pod = a_pod("a")
    assert bound_at(pod) == CREATED_S
    bound = Condition(type="PodScheduled", status="True", last_transition_time="2023-11-14T22:00:00Z")
    status = msgspec.structs.replace(pod.status, conditions=(bound,))
    assert bound_at(msgspec.structs.replace(pod, status=status)) == CREATED_S + 3600


def a_lost_pod(*, reason="NodeNotReady", containers="True", terminating=False):
    pod = a_pod("a", ready=False, terminating=terminating)
    ready = msgspec.structs.replace(pod.condition("Ready"), reason=reason)
    status = msgspec.structs.replace(
        pod.status, conditions=(ready, Condition(type="ContainersReady", status=containers))
    )
    return msgspec.structs.replace(pod, status=status)


def test_a_pod_is_lost_with_its_node_and_regained_only_if_nothing_else_was_wrong():
    condition = lost(a_pod("a"), NOW)
    assert (condition.status, condition.reason) == ("False", "NodeNotReady")
    assert lost(a_pod("a", ready=False), NOW) is None
    assert regained(a_lost_pod(), NOW).status == "True"
    assert regained(a_lost_pod(reason="ContainersNotReady"), NOW) is None
    assert regained(a_lost_pod(containers="False"), NOW) is None
    assert regained(a_lost_pod(terminating=True), NOW) is None
    assert regained(a_pod("a"), NOW) is None
