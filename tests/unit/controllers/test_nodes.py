"""Decisions about nodes: pod ranges, health, taints, eviction, and the pods of nodes that are gone."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.cluster import Taint
from orchestrator.api.views.workloads import Toleration
from orchestrator.controllers.node_ipam.decide import decide as decide_ranges
from orchestrator.controllers.node_lifecycle.decide import NOT_READY, UNREACHABLE, decide, is_disrupted
from orchestrator.controllers.node_lifecycle.decide_eviction import NEVER, evict_at
from orchestrator.controllers.pod_garbage.decide import decide as decide_garbage
from tests.support.controllers import CREATED, NOW, a_node, a_pod

CREATED_S = 1_699_995_600.0


@given(st.lists(st.sampled_from(["", "10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23", "10.9.0.0/24"]), max_size=8))
def test_ranges_never_overlap(given_ranges):
    taken = [cidr for cidr in dict.fromkeys(given_ranges) if cidr]
    nodes = [a_node(f"n{number}", podCIDR=cidr) for number, cidr in enumerate(taken)]
    nodes += [a_node(f"m{number}") for number in range(given_ranges.count(""))]
    assigned, exhausted = decide_ranges(nodes, ["10.0.5.0/24"], cluster_cidr="10.0.0.0/21", prefix=24)
    every = [ipaddress.ip_network(cidr) for cidr in (*taken, "10.0.5.0/24", *(one.cidr for one in assigned))]
    assert all(not one.overlaps(other) for i, one in enumerate(every) for other in every[:i])
    left = exhausted.nodes if exhausted else ()
    assert len(assigned) + len(left) == given_ranges.count("")


def test_a_silent_node_becomes_unknown_and_is_tainted():
    decision = decide(a_node(), silent=True, disrupted=False, now=NOW)
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
    assert decide(node, silent=False, disrupted=False, now=NOW).taints is None


@pytest.mark.parametrize(
    ("node", "disrupted", "expected"),
    [
        pytest.param(a_node(), False, None, id="healthy"),
        pytest.param(a_node(ready="False"), False, [NOT_READY, NOT_READY], id="not-ready"),
        pytest.param(a_node(ready="False"), True, [NOT_READY], id="nobody-is-ready"),
        pytest.param(a_node(unschedulable=True), False, ["node.kubernetes.io/unschedulable"], id="cordoned"),
        pytest.param(
            a_node(taints=[{"key": NOT_READY, "effect": "NoSchedule"}, {"key": "mine", "effect": "NoExecute"}]),
            False,
            ["mine"],
            id="back-again-keeps-the-users-own",
        ),
        pytest.param(
            a_node(ready=None, taints=[{"key": NOT_READY, "effect": "NoSchedule"}]), False, None, id="never-heard-yet"
        ),
    ],
)
def test_taints(node, disrupted, expected):
    decision = decide(node, silent=False, disrupted=disrupted, now=NOW)
    found = None if decision.taints is None else [taint.key for taint in decision.taints]
    assert found == expected
    assert not decision.conditions


def test_disruption_needs_nodes_and_none_of_them_ready():
    assert not is_disrupted([])
    assert is_disrupted([a_node(ready="Unknown"), a_node(ready="False")])
    assert not is_disrupted([a_node(ready="Unknown"), a_node()])


def tolerates(seconds=None, key=UNREACHABLE, effect="NoExecute"):
    return Toleration(key=key, operator="Exists", effect=effect, toleration_seconds=seconds)


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], 0.0, id="not-tolerated"),
        pytest.param([tolerates(300)], CREATED_S + 300, id="for-a-while"),
        pytest.param([tolerates(300), tolerates(20)], CREATED_S + 20, id="the-shortest-counts"),
        pytest.param([tolerates()], NEVER, id="for-ever"),
        pytest.param([tolerates(key="")], NEVER, id="everything"),
        pytest.param([tolerates(key=NOT_READY)], 0.0, id="another-taint"),
        pytest.param([tolerates(effect="NoSchedule")], 0.0, id="another-effect"),
        pytest.param([tolerates(-1)], CREATED_S, id="negative-is-at-once"),
    ],
)
def test_eviction(tolerations, expected):
    taints = [Taint(key=UNREACHABLE, effect="NoSchedule"), Taint(UNREACHABLE, "", "NoExecute", CREATED)]
    assert evict_at(tolerations, taints) == expected


def test_pods_of_missing_nodes_wait_out_the_quarantine():
    pods = [a_pod("a", node="n1"), a_pod("b", node="gone")]
    first = decide_garbage(pods, {"n1"}, {}, quarantine_s=40, finished_max=10, now=100.0)
    assert (first.orphaned, first.missing) == ((), {"gone"})
    later = decide_garbage(pods, {"n1"}, {"gone": 100.0}, quarantine_s=40, finished_max=10, now=140.0)
    assert [pod.metadata.name for pod in later.orphaned] == ["b"]


def test_the_oldest_finished_pods_go_and_those_that_never_had_a_node():
    pods = [
        a_pod("a", phase="Failed", creationTimestamp="2023-11-14T21:00:05Z"),
        a_pod("b", phase="Succeeded", creationTimestamp="2023-11-14T21:00:01Z"),
        a_pod("c", node="", terminating=True),
        a_pod("d"),
    ]
    decision = decide_garbage(pods, {"n1"}, {}, quarantine_s=40, finished_max=1, now=0.0)
    assert [pod.metadata.name for pod in decision.finished] == ["b"]
    assert [pod.metadata.name for pod in decision.unscheduled] == ["c"]
