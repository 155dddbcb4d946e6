"""Placing: which node is picked, and what is said when there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_fields

from orchestrator.api.views.scheduling import (
    Affinity,
    NodeAffinity,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeView,
    PodView,
    PreferredSchedulingTerm,
    Taint,
    Toleration,
)
from orchestrator.scheduler.columns import Mask, Rows
from orchestrator.scheduler.place import FixedCache, Placed, place
from orchestrator.scheduler.plugins.affinity import Preferred, matching
from orchestrator.scheduler.plugins.resources import Balanced, LeastAllocated
from orchestrator.scheduler.plugins.spread import Spread
from orchestrator.scheduler.plugins.taints import FewTaints, Tolerated, tolerates
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from orchestrator.scheduler.request import CPU, MEMORY, PODS, Constraints
from orchestrator.scheduler.table import NodeTable
from tests.support.scheduling import a_node, a_pod, a_table, a_term, placed, request_of


def a_field(name: str, operator: str, *values: str) -> NodeSelectorTerm:
    return NodeSelectorTerm(match_fields=(NodeSelectorRequirement(key=name, operator=operator, values=values),))


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


class Observed(Tolerated):
    """Remembers for how many rows it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def mask(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Mask:
        self.asked.append(len(rows))
        return super().mask(constraints, nodes, rows)


def test_a_change_of_one_nodes_labels_or_taints_computes_one_row_anew() -> None:
    table, cache, observed = a_table(*(a_node(f"n{i}") for i in range(100))), FixedCache(), Observed()
    profile, request = replace(DEFAULT_PROFILE, fixed_filters=(observed,)), request_of(a_pod())
    place(request, table, profile, cache)
    table.set_node(a_node("n7", labels={"disk": "ssd"}))
    table.set_node(a_node("n8", taints=[TAINT]))
    place(request, table, profile, cache)
    place(request, table, profile, cache)
    assert observed.asked == [table.rows, 2]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["ssd", "hdd", ""]), st.booleans(), st.booleans()), max_size=25
    )
)
def test_what_is_kept_of_fixed_properties_is_what_would_be_computed(steps: list[tuple[int, str, bool, bool]]) -> None:
    table, cache = a_table(a_node("n0")), FixedCache()
    soft = Taint(key="k", effect="PreferNoSchedule")
    preferred = PreferredSchedulingTerm(weight=7, preference=a_term("disk", "In", "ssd"))
    pod = a_pod(required=[a_term("disk", "NotIn", "hdd")])
    affinity = replace_fields(pod.spec.affinity.node_affinity, preferred=(preferred,))  # type: ignore[union-attr]
    pod = replace_fields(pod, spec=replace_fields(pod.spec, affinity=Affinity(node_affinity=affinity)))
    request = request_of(pod)
    for number, disk, gone, tainted in steps:
        if gone:
            table.remove_node(f"n{number}")
        else:
            labels = {"disk": disk} if disk else {}
            table.set_node(a_node(f"n{number}", labels=labels, taints=[soft] if tainted else []))
        kept = cache.of(request.demand.constraints, table, DEFAULT_PROFILE)
        fresh = FixedCache().of(request.demand.constraints, table, DEFAULT_PROFILE)
        assert (kept.mask == fresh.mask).all()
        assert (kept.score is None) == (fresh.score is None)
        assert kept.score is None or fresh.score is None or np.allclose(kept.score, fresh.score)


def test_a_pod_of_one_node_by_its_name_is_placed_there() -> None:
    field = NodeSelectorRequirement(key="metadata.name", operator="In", values=("n3",))
    table = a_table(*(a_node(f"n{i}") for i in range(5)))
    assert placed(a_pod(required=[NodeSelectorTerm(match_fields=(field,))]), table) == "n3"


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        pytest.param(a_term("disk", "In", "ssd", "nvme"), ["ssd"], id="in"),
        pytest.param(a_term("disk", "NotIn", "ssd"), ["hdd", "none"], id="not-in-and-nodes-without-the-label"),
        pytest.param(a_term("disk", "Exists"), ["hdd", "ssd"], id="exists"),
        pytest.param(a_term("disk", "DoesNotExist"), ["none"], id="does-not-exist"),
        pytest.param(a_term("cores", "Gt", "4"), ["ssd"], id="greater"),
        pytest.param(a_term("cores", "Lt", "8"), ["hdd"], id="less"),
        pytest.param(a_term("disk", "Gt", "4"), [], id="not-a-number"),
        pytest.param(a_term("cores", "Gt"), [], id="compared-with-nothing"),
        pytest.param(a_term("cores", "Near", "4"), [], id="no-such-operator"),
        pytest.param(NodeSelectorTerm(), [], id="an-empty-term-matches-nothing"),
        pytest.param(a_field("metadata.name", "In", "hdd", "gone"), ["hdd"], id="named"),
        pytest.param(a_field("metadata.name", "NotIn", "hdd", "gone"), ["none", "ssd"], id="not-named"),
        pytest.param(a_field("metadata.uid", "In", "hdd"), [], id="no-such-field"),
        pytest.param(a_field("metadata.name", "Exists"), [], id="no-such-operator-for-fields"),
    ],
)
def test_a_term_of_node_affinity_matches_these_nodes(term: NodeSelectorTerm, expected: list[str]) -> None:
    table = a_table(
        a_node("hdd", labels={"disk": "hdd", "cores": "4"}),
        a_node("ssd", labels={"disk": "ssd", "cores": "8"}),
        a_node("none"),
    )
    rows = np.arange(table.rows)
    matched = matching(term, table, rows) & table.present
    assert sorted(table.names[row] for row in rows[matched]) == expected


def test_preferences_count_by_their_weight() -> None:
    preferred = tuple(
        PreferredSchedulingTerm(weight=weight, preference=a_term("disk", "In", disk))
        for weight, disk in ((10, "ssd"), (30, "hdd"))
    )
    table = a_table(a_node("ssd", labels={"disk": "ssd"}), a_node("hdd", labels={"disk": "hdd"}), a_node("none"))
    constraints = Constraints(affinity=NodeAffinity(preferred=preferred))
    raw = Preferred().raw(constraints, table, np.arange(3))
    assert [raw[table.row_of(name)] for name in ("ssd", "hdd", "none")] == [10, 30, 0]
    assert list(Preferred().normalised(raw)[[table.row_of("hdd"), table.row_of("none")]]) == [1, 0]


@pytest.mark.parametrize(
    ("toleration", "taint", "expected"),
    [
        pytest.param(Toleration(operator="Exists"), Taint(key="k", effect="NoExecute"), True, id="everything"),
        pytest.param(
            Toleration(key="k", operator="Exists"), Taint(key="k", value="v", effect="NoExecute"), True, id="key"
        ),
        pytest.param(
            Toleration(key="k", operator="Exists"), Taint(key="l", effect="NoExecute"), False, id="another-key"
        ),
        pytest.param(Toleration(key="k", value="v"), Taint(key="k", value="v", effect="NoSchedule"), True, id="equal"),
        pytest.param(
            Toleration(key="k", value="v"), Taint(key="k", value="w", effect="NoSchedule"), False, id="unequal"
        ),
        pytest.param(
            Toleration(key="k", operator="", value="v"), Taint(key="k", value="v"), True, id="equal-by-default"
        ),
        pytest.param(
            Toleration(key="k", operator="Exists", effect="NoSchedule"),
            Taint(key="k", effect="NoExecute"),
            False,
            id="another-effect",
        ),
        pytest.param(
            Toleration(key="k", operator="Exists", effect="NoSchedule"),
            Taint(key="k", effect="NoSchedule"),
            True,
            id="the-effect",
        ),
        pytest.param(Toleration(), Taint(effect="NoSchedule"), False, id="equal-without-a-key"),
        pytest.param(Toleration(key="k", operator="Near"), Taint(key="k"), False, id="no-such-operator"),
    ],
)
def test_a_toleration_covers_these_taints(toleration: Toleration, taint: Taint, expected: bool) -> None:
    assert tolerates(toleration, taint) is expected


def test_a_node_with_fewer_taints_that_would_rather_not_is_preferred() -> None:
    soft = [Taint(key=key, effect="PreferNoSchedule") for key in "abc"]
    tolerated = Toleration(key="a", operator="Exists")
    table = a_table(a_node("two", taints=soft[:2]), a_node("three", taints=soft), a_node("none"))
    raw = FewTaints().raw(Constraints(tolerations=(tolerated,)), table, np.arange(3))
    assert [raw[table.row_of(name)] for name in ("two", "three", "none")] == [1, 2, 0]
    assert [FewTaints().normalised(raw)[table.row_of(name)] for name in ("two", "three", "none")] == [0.5, 0, 1]


def test_what_several_fixed_scorers_say_of_a_node_adds_up_by_their_weights() -> None:
    soft = Taint(key="k", effect="PreferNoSchedule")
    table = a_table(
        a_node("tainted", labels={"disk": "ssd"}, taints=[soft]),
        a_node("both", labels={"disk": "ssd"}),
        a_node("neither", taints=[soft]),
        a_node("plain"),
    )
    preferred = (PreferredSchedulingTerm(weight=10, preference=a_term("disk", "In", "ssd")),)
    fixed = FixedCache().of(Constraints(affinity=NodeAffinity(preferred=preferred)), table, DEFAULT_PROFILE)
    assert fixed.score is not None
    weights = {scorer.name: weight for scorer, weight in DEFAULT_PROFILE.fixed_scorers}
    taints, affinity = weights["PreferNoSchedule"], weights["PreferredNodeAffinity"]
    assert {name: fixed.score[table.row_of(name)] for name in ("tainted", "both", "neither", "plain")} == {
        "tainted": affinity,
        "both": taints + affinity,
        "neither": 0,
        "plain": taints,
    }


def test_rows_without_a_node_do_not_set_the_measure_of_a_preference() -> None:
    terms = (a_term("disk", "NotIn", "ssd", "hdd"), a_term("disk", "In", "ssd"))
    preferred = tuple(PreferredSchedulingTerm(weight=10 * (2 - n), preference=term) for n, term in enumerate(terms))
    table = a_table(a_node("ssd", labels={"disk": "ssd"}), a_node("hdd", labels={"disk": "hdd"}))
    fixed = FixedCache().of(Constraints(affinity=NodeAffinity(preferred=preferred)), table, DEFAULT_PROFILE)
    assert fixed.score is not None
    weight = dict((scorer.name, weight) for scorer, weight in DEFAULT_PROFILE.fixed_scorers)["PreferredNodeAffinity"]
    assert [fixed.score[table.row_of(name)] for name in ("ssd", "hdd")] == [weight, 0]


def test_scores_of_resources_are_shares_of_what_would_be_left() -> None:
    table = a_table(
        a_node("empty", cpu="4", memory="8Gi"),
        a_node("half", cpu="4", memory="8Gi"),
        a_node("full", cpu="4", memory="8Gi"),
        pods=[a_pod("a", cpu="1", memory="4Gi", node="half"), a_pod("b", cpu="9", memory="8Gi", node="full")],
    )
    request = request_of(a_pod(cpu="1", memory="2Gi"))
    rows = [table.row_of(name) for name in ("empty", "half", "full")]
    # What is left of cpu and memory: 3/4 and 3/4; 2/4 and 1/4; nothing.
    assert list(LeastAllocated().score(request, table)[rows]) == [0.75, 0.375, 0]
    assert list(Balanced().score(request, table)[rows]) == [1, 0.875, 1]


def test_scores_of_spreading_count_nodes_and_zones_alike() -> None:
    zones = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    nodes = [a_node(name, labels={"topology.kubernetes.io/zone": zone}) for name, zone in zones.items()]
    running = [a_pod(f"p{number}", owner="rs", node=node) for number, node in enumerate(("a1", "a1", "b1"))]
    table = a_table(*nodes, a_node("nowhere"), pods=[*running, a_pod("other", owner="db", node="c1")])
    scores = Spread().score(request_of(a_pod(owner="rs")), table)
    assert {name: scores[table.row_of(name)] for name in (*zones, "nowhere")} == {
        "a1": 0,
        "a2": 0.5,
        "b1": 0.5,
        "c1": 1,
        "nowhere": 1,
    }
    assert set(Spread().score(request_of(a_pod()), table)) == {1}
