"""Nodes' health, their taints, and when pods have to leave."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.api.views.cluster import Taint
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.workloads import Toleration
from orchestrator.controllers.node_lifecycle.decide import NOT_READY, UNREACHABLE, decide, lost, regained
from orchestrator.controllers.node_lifecycle.decide_eviction import NEVER, evict_at
from tests.support.controllers import CREATED, NOW, a_node, a_pod

CREATED_S = 1_699_995_600.0


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
