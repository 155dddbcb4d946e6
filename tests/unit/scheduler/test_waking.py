"""What wakes a pod that did not fit: what the plugins that refused it declared, and nothing that cannot help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.scheduling import NodeView, PodView, Taint, Toleration
from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.place import FixedCache, Placed, Unschedulable, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from orchestrator.scheduler.request import Demands
from orchestrator.scheduler.table import NodeTable
from orchestrator.scheduler.waking import WaitsFor
from tests.support.scheduling import a_node, a_pod, a_table, a_term, request_of

TAINT = Taint(key="dedicated", value="gpu", effect="NoSchedule")
TOLERATION = Toleration(key="dedicated", operator="Exists")
ON_SSD = a_pod(node_selector={"disk": "ssd"})


def refusal_of(pod: PodView, table: NodeTable) -> WaitsFor:
    request = request_of(pod)
    outcome = place(request, table, DEFAULT_PROFILE, FixedCache())
    assert isinstance(outcome, Unschedulable)
    return WaitsFor(outcome.refused_by, request)


def updated(table: NodeTable, node: NodeView) -> Happened:
    change = table.set_node(node)
    return Happened(change, table.row_of(node.metadata.name))


def gone(table: NodeTable, name: str) -> Happened:
    node = table.node_of(f"uid-{name}")
    assert node is not None
    request = table.remove_pod(f"uid-{name}")
    return Happened(Change.POD_WENT, table.row_of(node), request)


@pytest.mark.parametrize(
    ("pod", "node", "update", "wakes"),
    [
        pytest.param(a_pod(cpu="2"), a_node("n", cpu="1"), a_node("n", cpu="2"), True, id="enough-of-it-now"),
        pytest.param(a_pod(cpu="3"), a_node("n", cpu="1"), a_node("n", cpu="2"), False, id="more-and-not-enough"),
        pytest.param(a_pod(cpu="2"), a_node("n", cpu="1"), a_node("n", cpu="1", labels={"a": "b"}), False, id="label"),
        pytest.param(a_pod(cpu="2"), a_node("n", cpu="1"), a_node("m", cpu="1"), False, id="another-small-node"),
        pytest.param(a_pod(cpu="2"), a_node("n", cpu="1"), a_node("m", cpu="2"), True, id="another-node"),
        pytest.param(a_pod(requests={"example.org/gpu": "1"}), a_node("n"), a_node("m"), False, id="what-no-node-has"),
        pytest.param(a_pod(), a_node("n", taints=[TAINT]), a_node("n"), True, id="taint-taken-away"),
        pytest.param(
            a_pod(),
            a_node("n", taints=[TAINT]),
            a_node("n", taints=[TAINT, Taint(key="more", effect="NoExecute")]),
            False,
            id="one-more-taint",
        ),
        pytest.param(a_pod(), a_node("n", unschedulable=True), a_node("n"), True, id="uncordoned"),
        pytest.param(
            a_pod(), a_node("n", unschedulable=True), a_node("n", unschedulable=True, cpu="64"), False, id="cpu"
        ),
        pytest.param(
            a_pod(node_selector={"disk": "ssd"}),
            a_node("n"),
            a_node("n", labels={"disk": "ssd"}),
            True,
            id="right-label",
        ),
        pytest.param(
            a_pod(node_selector={"disk": "ssd"}),
            a_node("n"),
            a_node("n", labels={"disk": "hdd"}),
            False,
            id="wrong-label",
        ),
    ],
)
def test_a_change_of_a_node_wakes_whom_it_may_help(pod: PodView, node: NodeView, update: NodeView, wakes: bool) -> None:
    table = a_table(node)
    waits_for = refusal_of(pod, table)
    assert waits_for.may_be_over(updated(table, update), table) == wakes


@pytest.mark.parametrize(
    ("pod", "leaving", "wakes"),
    [
        pytest.param(a_pod(cpu="2"), a_pod("p", cpu="1", node="n"), True, id="room"),
        pytest.param(a_pod(cpu="3"), a_pod("p", cpu="1", node="n"), False, id="too-little-room"),
        pytest.param(a_pod(host_port=80), a_pod("p", host_port=80, node="n"), True, id="its-port"),
        pytest.param(a_pod(host_port=81), a_pod("p", host_port=80, node="n"), False, id="another-port"),
        pytest.param(a_pod(node_selector={"a": "b"}), a_pod("p", cpu="1", node="n"), False, id="wants-a-label"),
    ],
)
def test_a_pod_that_goes_wakes_whom_it_may_help(pod: PodView, leaving: PodView, wakes: bool) -> None:
    table = a_table(a_node("n", cpu="2"), pods=[a_pod("stays", host_port=81, node="n"), leaving])
    waits_for = refusal_of(pod, table)
    assert waits_for.may_be_over(gone(table, "p"), table) == wakes


def test_without_nodes_any_node_that_would_do_wakes() -> None:
    table = NodeTable()
    waits_for = refusal_of(a_pod(cpu="2", node_selector={"disk": "ssd"}), table)
    assert waits_for.may_be_over(updated(table, a_node("n", labels={"disk": "ssd"})), table)


def test_pods_that_ask_for_the_same_and_were_refused_alike_wait_for_the_same() -> None:
    table, demands = a_table(a_node("n", cpu="1")), Demands()

    def waits(pod: PodView) -> WaitsFor:
        request = demands.request_of(pod)
        outcome = place(request, table, DEFAULT_PROFILE, FixedCache())
        assert isinstance(outcome, Unschedulable)
        return WaitsFor(outcome.refused_by, request)

    assert waits(a_pod("a", cpu="2")) == waits(a_pod("b", cpu="2"))
    assert waits(a_pod("a", cpu="2")) != waits(a_pod("b", cpu="3"))
    assert len({waits(a_pod(f"p{number}", cpu="2")) for number in range(5)}) == 1


NODES = st.builds(
    lambda name, cpu, disk, tainted, cordoned: a_node(
        f"n{name}", cpu=cpu, labels={"disk": disk}, taints=[TAINT] if tainted else [], unschedulable=cordoned
    ),
    st.integers(0, 2),
    st.sampled_from(["1", "2", "4"]),
    st.sampled_from(["ssd", "hdd"]),
    st.booleans(),
    st.booleans(),
)
PODS = st.builds(
    lambda cpu, disk, tolerant, port: a_pod(
        cpu=cpu,
        node_selector={"disk": disk} if disk else None,
        required=[a_term("disk", "In", "ssd", "nvme")] if disk is None and tolerant else None,
        tolerations=[TOLERATION] if tolerant else [],
        host_port=port,
    ),
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from(["ssd", None]),
    st.booleans(),
    st.sampled_from([0, 80]),
)
RUNNING = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["1", "2"]), st.sampled_from([0, 80])), max_size=4)


@given(nodes=st.lists(NODES, max_size=3), running=RUNNING, pod=PODS, change=st.one_of(NODES, st.integers(0, 3)))
def test_whatever_gives_a_refused_pod_its_node_wakes_it(
    nodes: list[NodeView], running: list[tuple[int, str, int]], pod: PodView, change: NodeView | int
) -> None:
    pods = [
        a_pod(f"p{number}", cpu=cpu, host_port=port, node=f"n{node}")
        for number, (node, cpu, port) in enumerate(running)
    ]
    table = a_table(*nodes, pods=pods)
    request, kept = request_of(pod), FixedCache()
    outcome = place(request, table, DEFAULT_PROFILE, kept)
    if isinstance(outcome, Placed):
        return
    waits_for = WaitsFor(outcome.refused_by, request)
    if isinstance(change, NodeView):
        happened = updated(table, change)
    elif change < len(pods):
        happened = gone(table, f"p{change}")
    else:
        return
    later = place(request, table, DEFAULT_PROFILE, kept)
    assert later == place(request, table, DEFAULT_PROFILE, FixedCache())
    if isinstance(later, Placed):
        assert waits_for.may_be_over(happened, table)
