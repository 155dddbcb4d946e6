"""The node table: what is counted, moved and given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scheduler.request import CPU, request_of
from orchestrator.scheduler.table import NodeTable
from tests.support.scheduling import a_node, a_pod, a_table


def test_a_pod_counts_once_however_often_it_is_added() -> None:
    table = a_table(a_node("n1"))
    for _ in range(3):
        table.add_pod(request_of(a_pod("p", cpu="1")), "n1")
    assert table.used[CPU][0] == 1000


def test_a_pod_of_an_unknown_node_counts_when_the_node_appears() -> None:
    table = NodeTable()
    table.add_pod(request_of(a_pod("p", cpu="1")), "n1")
    table.set_node(a_node("n1"))
    row = table.row_of("n1")
    assert row is not None
    assert table.used[CPU][row] == 1000


def test_a_node_that_returns_finds_its_pods_counted() -> None:
    table = a_table(a_node("n1"), a_node("n2"), pods=[a_pod("p", cpu="1", node="n1")])
    table.remove_node("n1")
    assert table.node_of("uid-p") is None
    table.set_node(a_node("n3"))
    table.set_node(a_node("n1"))
    row = table.row_of("n1")
    assert row is not None
    assert table.used[CPU][row] == 1000
    assert table.used[CPU].sum() == 1000


def test_a_status_update_without_consequences_is_no_change() -> None:
    table = a_table(a_node("n1"))
    generation = table.fixed_generation
    assert not table.set_node(a_node("n1"))
    assert table.set_node(a_node("n1", cpu="8"))
    assert table.fixed_generation == generation


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "gone", "back"]), st.integers(0, 3), st.integers(0, 9))))
def test_columns_always_equal_a_recount(steps: list[tuple[str, int, int]]) -> None:
    table = a_table(*(a_node(f"n{i}") for i in range(4)))
    homes: dict[int, str] = {}
    for step, node, pod in steps:
        table.pods_of_owner("rs")  # so that the dense form is kept up to date, too
        match step:
            case "add":
                table.add_pod(request_of(a_pod(f"p{pod}", cpu="100m", owner="rs", host_port=80 + pod)), f"n{node}")
                homes[pod] = f"n{node}"
            case "remove":
                table.remove_pod(f"uid-p{pod}")
                homes.pop(pod, None)
            case "gone":
                table.remove_node(f"n{node}")
            case "back":
                table.set_node(a_node(f"n{node}"))
    for node in range(4):
        row = table.row_of(f"n{node}")
        if row is not None:
            expected = sum(home == f"n{node}" for home in homes.values())
            assert table.used[CPU][row] == 100 * expected
            counts = table.pods_of_owner("rs")
            assert (0 if counts is None else counts[row]) == expected
