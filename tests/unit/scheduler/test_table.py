"""The node table: what is counted, moved and given back."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.scheduling import NodeView, PodView, Taint
from orchestrator.scheduler.changes import Change
from orchestrator.scheduler.columns import SHOWN_MAX, ChangedRows, Codes, Sums
from orchestrator.scheduler.plugins.ports import PortsTaken
from orchestrator.scheduler.plugins.spread import OwnerCounts
from orchestrator.scheduler.request import CPU, MEMORY
from orchestrator.scheduler.table import NodeTable
from tests.support.scheduling import a_node, a_pod, a_table, request_of


def test_a_pod_counts_once_however_often_it_is_added() -> None:
    table = a_table(a_node("n1"))
    for _ in range(3):
        table.add_pod(request_of(a_pod("p", cpu="1")), "n1")
    assert table.used[CPU].shown[0] == 1000


def test_a_pod_of_an_unknown_node_counts_when_the_node_appears() -> None:
    table = NodeTable()
    table.add_pod(request_of(a_pod("p", cpu="1")), "n1")
    table.set_node(a_node("n1"))
    row = table.row_of("n1")
    assert row is not None
    assert table.used[CPU].shown[row] == 1000


def test_a_node_that_returns_finds_its_pods_counted() -> None:
    table = a_table(a_node("n1"), a_node("n2"), pods=[a_pod("p", cpu="1", node="n1")])
    table.remove_node("n1")
    assert table.used[CPU].shown.sum() == 0
    table.set_node(a_node("n3"))
    table.set_node(a_node("n1"))
    row = table.row_of("n1")
    assert row is not None
    assert table.used[CPU].shown[row] == 1000
    assert table.used[CPU].shown.sum() == 1000


def test_a_status_update_without_consequences_is_no_change() -> None:
    table = a_table(a_node("n1"))
    revision = table.changed.revision
    assert table.set_node(a_node("n1")) is Change.NOTHING
    assert table.set_node(a_node("n1", cpu="8")) is Change.NODE_ALLOCATABLE
    assert table.changed.revision == revision


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        pytest.param(a_node("n1", labels={"disk": "ssd"}), Change.NODE_LABELS, id="label"),
        pytest.param(a_node("n1", unschedulable=True), Change.NODE_TAINTS, id="cordon"),
        pytest.param(a_node("n1", taints=[Taint(key="k", effect="NoExecute")]), Change.NODE_TAINTS, id="taint"),
        pytest.param(
            a_node("n1", pods="9", unschedulable=True), Change.NODE_ALLOCATABLE | Change.NODE_TAINTS, id="two-at-once"
        ),
        pytest.param(a_node("n2"), Change.NODE_ADDED, id="another-node"),
    ],
)
def test_what_of_a_node_changed_is_said(update: NodeView, expected: Change) -> None:
    assert a_table(a_node("n1")).set_node(update) == expected


def wanted(number: int) -> PodView:
    return a_pod(f"p{number}", cpu="100m", owner="rs", host_port=80 + number, requests={"example.org/gpu": "1"})


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "gone", "back"]), st.integers(0, 3), st.integers(0, 9))))
def test_columns_always_equal_a_recount(steps: list[tuple[str, int, int]]) -> None:
    table = a_table(*(a_node(f"n{i}") for i in range(4)))
    homes: dict[int, str] = {}
    for step, node, pod in steps:
        table.tally(OwnerCounts).by_row("rs", table.rows)  # so that the dense form is kept up to date, too
        match step:
            case "add":
                table.add_pod(request_of(wanted(pod)), f"n{node}")
                homes[pod] = f"n{node}"
            case "remove":
                table.remove_pod(f"uid-p{pod}")
                homes.pop(pod, None)
            case "gone":
                table.remove_node(f"n{node}")
            case "back":
                table.set_node(a_node(f"n{node}", extended={"example.org/gpu": "2"} if pod % 2 else None))
    for node in range(4):
        row = table.row_of(f"n{node}")
        if row is not None:
            expected = sum(home == f"n{node}" for home in homes.values())
            assert table.used[CPU].shown[row] == 100 * expected
            if "example.org/gpu" in table.used:
                assert table.used["example.org/gpu"].shown[row] == expected
            for pod, home in homes.items():
                assert (row in table.tally(PortsTaken).rows_with(("10.0.0.1", "TCP", 80 + pod))) == (home == f"n{node}")
            counts = table.tally(OwnerCounts).by_row("rs", table.rows)
            assert (0 if counts is None else counts[row]) == expected


def test_a_node_full_of_absurd_pods_is_full_and_empty_again_when_they_go() -> None:
    table = a_table(a_node("n1"), pods=[a_pod("p", cpu="1", memory="1Gi", node="n1")])
    greedy = [request_of(a_pod(f"g{i}", cpu="9E", memory="16Ei")) for i in range(1_100)]
    for request in greedy:
        table.add_pod(request, "n1")
        assert table.free(CPU)[0] < 0
        assert table.free(MEMORY)[0] < 0
    for request in greedy:
        table.remove_pod(request.uid)
    assert table.free(CPU)[0] == 3_000
    assert table.free(MEMORY)[0] == 7 * 2**30
    assert table.scored_cpu.shown[0] == 1_000


def test_a_node_with_less_than_nothing_or_more_than_everything_takes_what_fits() -> None:
    table = a_table(a_node("owing", cpu="-9E", memory="-9E"), a_node("endless", cpu="9E", memory="16Ei"))
    owing, endless = table.row_of("owing"), table.row_of("endless")
    for number in range(3):
        table.add_pod(request_of(a_pod(f"p{number}", cpu="9E", memory="16Ei")), "owing")
    assert table.free(CPU)[owing] < 0 < table.free(CPU)[endless]
    assert table.free(MEMORY)[owing] < 0 < table.free(MEMORY)[endless]


def test_an_amount_that_cannot_be_read_is_nothing_on_a_node_and_too_much_for_a_pod() -> None:
    table = a_table(a_node("n1", cpu="four"), a_node("n2"))
    table.add_pod(request_of(a_pod("p", memory="lots")), "n2")
    assert list(table.free(CPU)[:2]) == [0, 4_000]
    assert table.free(MEMORY)[1] < 0


def test_resources_that_no_node_offers_take_no_memory_until_one_does() -> None:
    table = a_table(a_node("n1"))
    for number in range(1_000):
        table.add_pod(request_of(a_pod(f"p{number}", requests={f"example.org/r{number}": "1"})), "n1")
    assert len(table.used) == 3
    table.set_node(a_node("n1", extended={"example.org/r7": "5"}))
    assert table.free("example.org/r7")[0] == 4


@given(st.lists(st.integers(0, 2**70), max_size=30), st.randoms(use_true_random=False))
def test_sums_are_shown_saturated_and_give_back_exactly_what_was_added(amounts: list[int], dice: Random) -> None:
    sums = Sums(np.zeros(2, dtype=np.int64))
    sums.add(0, 7)
    for amount in amounts:
        sums.add(0, amount)
    assert sums.shown[0] == min(7 + sum(amounts), SHOWN_MAX)
    dice.shuffle(amounts)
    for amount in amounts:
        sums.add(0, -amount)
    assert list(sums.shown) == [7, 0]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "c", "d", None]), st.integers(0, 9)), max_size=50)
)
def test_codes_say_of_each_row_what_it_last_was_given(steps: list[tuple[int, str | None, int]]) -> None:
    codes: Codes[str] = Codes(6)
    last: dict[int, str | None] = dict.fromkeys(range(6))
    for row, value, _ in steps:
        codes.set(row, value)
        last[row] = value
    everywhere = np.arange(6)
    for value in ("a", "b", "c", "d"):
        assert list(codes.holds(everywhere, lambda held, value=value: held == value)) == [
            last[row] == value for row in range(6)
        ]
    assert list(codes.numbers(np.array([2]), lambda held: ord(held or "z"))) == [ord(last[2] or "z")]
    assert codes.count <= 5


def test_a_label_column_follows_its_nodes_and_is_let_go_when_nobody_asks() -> None:
    table = a_table(*(a_node(f"n{i}", labels={"zone": "ab"[i % 2]}) for i in range(20)))
    zone, rows = table.label("zone"), np.arange(table.rows)
    assert np.count_nonzero(zone.holds(rows, lambda value: value == "a")) == 10
    table.set_node(a_node("n0", labels={"zone": "b"}))
    table.remove_node("n2")
    for number in range(20, 40):
        table.set_node(a_node(f"n{number}", labels={"zone": "a"}))
    rows = np.arange(table.rows)
    assert np.count_nonzero(zone.holds(rows, lambda value: value == "a")) == 28
    for number in range(1_000):
        table.label(f"example.org/l{number}")
    assert len(table._labels) <= 257
    assert table.label("zone") is zone


def test_rows_that_changed_are_known_until_there_were_too_many() -> None:
    changed = ChangedRows()
    for row in (3, 1, 3):
        changed.note(row)
    assert list(changed.since(1) if changed.since(1) is not None else []) == [1, 3]
    assert list(changed.since(3) if changed.since(3) is not None else [9]) == []
    for _ in range(2_000):
        changed.note(7)
    assert changed.since(3) is None


def test_a_tally_asked_for_late_knows_the_pods_that_came_before() -> None:
    table = a_table(a_node("n1"), pods=[a_pod("p", owner="rs", node="n1"), a_pod("q", owner="rs", node="gone")])
    counts = table.tally(OwnerCounts).by_row("rs", table.rows)
    assert counts is not None
    assert counts.sum() == 1


def test_a_code_is_used_again_once_no_row_has_its_value() -> None:
    codes: Codes[str] = Codes(2)
    for number in range(1_000):
        codes.set(0, f"v{number}")
        codes.set(1, f"v{number}")
    assert codes.count <= 3
    codes.set(0, None)
    assert list(codes.holds(np.arange(2), lambda value: value == "v999")) == [False, True]


def test_a_port_that_two_pods_hold_is_free_when_both_have_gone() -> None:
    table = a_table(a_node("n1"))
    taken = table.tally(PortsTaken)
    for name in "ab":
        table.add_pod(request_of(a_pod(name, host_port=80)), "n1")
    table.remove_pod("uid-a")
    assert taken.rows_with(("10.0.0.1", "TCP", 80)) == [table.row_of("n1")]
    assert taken.rows_with(("10.0.0.1", "UDP", 80)) == []
    table.remove_pod("uid-b")
    assert taken.rows_with(("10.0.0.1", "TCP", 80)) == []
    assert taken._holders == {}, "nothing is kept of pods that have gone"
