"""Placing: which node is picked, and what is said when there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.scheduling import NodeView, PodView, Taint, Toleration
from orchestrator.scheduler.place import FixedCache, Placed, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from orchestrator.scheduler.request import CPU, MEMORY, PODS, request_of
from tests.support.scheduling import a_node, a_pod, a_table, a_term, placed

TAINT = Taint(key="dedicated", value="gpu", effect="NoSchedule")


@pytest.mark.parametrize(
    ("pod", "nodes", "running", "expected"),
    [
        pytest.param(a_pod(), [a_node("n1")], [], "n1", id="one-node-takes-it"),
        pytest.param(a_pod(), [], [], "no nodes available to schedule pods", id="no-nodes-at-all"),
        pytest.param(
            a_pod(cpu="2"),
            [a_node("n1", cpu="1"), a_node("n2", cpu="1"), a_node("n3", cpu="1", memory="1")],
            [],
            "0/3 nodes are available: 3 Insufficient cpu.",
            id="too-small-everywhere",
        ),
        pytest.param(
            a_pod(cpu="2", memory="2Gi"),
            [a_node("n1", cpu="1"), a_node("n2", memory="1Gi"), a_node("n3", cpu="1", memory="1Gi")],
            [],
            "0/3 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.",
            id="a-node-may-lack-two-things",
        ),
        pytest.param(
            a_pod(cpu="1"),
            [a_node("n1", cpu="2"), a_node("n2", cpu="2")],
            [a_pod("a", cpu="2", node="n1")],
            "n2",
            id="what-runs-already-counts",
        ),
        pytest.param(
            a_pod(),
            [a_node("n1", pods="1")],
            [a_pod("a", node="n1")],
            "0/1 nodes are available: 1 Too many pods.",
            id="the-number-of-pods-is-a-resource",
        ),
        pytest.param(
            a_pod(requests={"example.org/gpu": "1"}),
            [a_node("n1"), a_node("n2", extended={"example.org/gpu": "2"})],
            [],
            "n2",
            id="an-extended-resource",
        ),
        pytest.param(
            a_pod(requests={"example.org/gpu": "1"}),
            [a_node("n1")],
            [],
            "0/1 nodes are available: 1 Insufficient example.org/gpu.",
            id="an-extended-resource-that-nobody-has",
        ),
        pytest.param(
            a_pod(),
            [a_node("n1", taints=[TAINT]), a_node("n2", unschedulable=True)],
            [],
            "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
            id="tainted-and-cordoned",
        ),
        pytest.param(
            a_pod(tolerations=[Toleration(key="dedicated", operator="Equal", value="gpu", effect="NoSchedule")]),
            [a_node("n1", taints=[TAINT])],
            [],
            "n1",
            id="a-tolerated-taint",
        ),
        pytest.param(
            a_pod(tolerations=[Toleration(operator="Exists")]),
            [a_node("n1", taints=[TAINT], unschedulable=True)],
            [],
            "n1",
            id="tolerating-everything-includes-a-cordon",
        ),
        pytest.param(
            a_pod(node_selector={"disk": "ssd"}),
            [a_node("n1"), a_node("n2", labels={"disk": "ssd"}), a_node("n3", labels={"disk": "hdd"})],
            [],
            "n2",
            id="node-selector",
        ),
        pytest.param(
            a_pod(required=[a_term("cores", "Gt", "4")]),
            [a_node("n1", labels={"cores": "4"}), a_node("n2", labels={"cores": "8"}), a_node("n3")],
            [],
            "n2",
            id="required-affinity-by-number",
        ),
        pytest.param(
            a_pod(required=[a_term("disk", "In", "nvme")]),
            [a_node("n1"), a_node("n2", labels={"disk": "ssd"})],
            [],
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            id="required-affinity-that-no-node-satisfies",
        ),
        pytest.param(
            a_pod(host_port=80),
            [a_node("n1"), a_node("n2")],
            [a_pod("a", host_port=80, node="n1")],
            "n2",
            id="a-host-port-is-taken",
        ),
        pytest.param(
            a_pod(host_port=80, host_ip="10.0.0.1"),
            [a_node("n1")],
            [a_pod("a", host_port=80, node="n1")],
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
            id="a-port-on-all-addresses-collides-with-one-on-any",
        ),
        pytest.param(
            a_pod(host_port=80, host_ip="10.0.0.1"),
            [a_node("n1")],
            [a_pod("a", host_port=80, host_ip="10.0.0.2", node="n1")],
            "n1",
            id="different-addresses-do-not-collide",
        ),
        pytest.param(
            a_pod(),
            [a_node("n1"), a_node("n2", taints=[Taint(key="k", effect="PreferNoSchedule")])],
            [],
            "n1",
            id="prefer-no-schedule-is-a-preference",
        ),
        pytest.param(
            a_pod("b", owner="rs"),
            [a_node("n1"), a_node("n2", cpu="3", memory="6Gi")],
            [a_pod("a", owner="rs", node="n1")],
            "n2",
            id="pods-of-one-owner-spread",
        ),
    ],
)
def test_place(pod: PodView, nodes: list[NodeView], running: list[PodView], expected: str) -> None:
    assert placed(pod, a_table(*nodes, pods=running)) == expected


def test_nodes_are_counted_under_the_first_filter_that_refuses_them() -> None:
    tainted_and_small = a_node("n1", cpu="1", taints=[TAINT])
    assert placed(a_pod(cpu="2"), a_table(tainted_and_small)) == (
        "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
    )


def test_zones_are_balanced_before_nodes() -> None:
    nodes = [a_node(n, labels={"topology.kubernetes.io/zone": z}) for n, z in (("a1", "a"), ("a2", "a"), ("b1", "b"))]
    running = [a_pod("p1", owner="rs", node="a1")]
    assert placed(a_pod("p2", owner="rs"), a_table(*nodes, pods=running)) == "b1"


def test_equal_nodes_are_told_apart_by_the_pods_uid_alone() -> None:
    table = a_table(*(a_node(f"n{i}") for i in range(8)))
    first = [placed(a_pod(f"p{i}"), table) for i in range(40)]
    assert first == [placed(a_pod(f"p{i}"), table) for i in range(40)]
    assert len(set(first)) > 4


def test_a_change_of_taints_is_seen_though_masks_are_kept() -> None:
    table, cache = a_table(a_node("n1")), FixedCache()
    request = request_of(a_pod())
    assert isinstance(place(request, table, DEFAULT_PROFILE, cache), Placed)
    table.set_node(a_node("n1", taints=[TAINT]))
    assert str(place(request, table, DEFAULT_PROFILE, cache)).startswith("0/1 nodes are available")


@given(
    cpus=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    pods=st.lists(st.integers(100, 4000), max_size=40),
)
def test_no_node_is_ever_overcommitted_and_no_room_is_left_unused(cpus: list[int], pods: list[int]) -> None:
    table = a_table(*(a_node(f"n{i}", cpu=str(cpu)) for i, cpu in enumerate(cpus)))
    for number, cpu_milli in enumerate(pods):
        request = request_of(a_pod(f"p{number}", cpu=f"{cpu_milli}m"))
        outcome = place(request, table, DEFAULT_PROFILE, FixedCache())
        fits_somewhere = bool(((table.free(CPU) >= cpu_milli) & table.present).any())
        assert isinstance(outcome, Placed) == fits_somewhere
        if isinstance(outcome, Placed):
            table.add_pod(request, outcome.node)
        for resource in (CPU, MEMORY, PODS):
            assert (table.free(resource)[table.present] >= 0).all()
