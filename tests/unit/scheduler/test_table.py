"""The node table: what is counted, moved and given back."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scheduler.columns import SHOWN_MAX, Sums
from orchestrator.scheduler.request import CPU, MEMORY, request_of
from orchestrator.scheduler.table import NodeTable
from tests.support.scheduling import a_node, a_pod, a_table


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
            assert table.used[CPU].shown[row] == 100 * expected
            counts = table.pods_of_owner("rs")
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
    sums = Sums(2)
    sums.add(0, 7)
    for amount in amounts:
        sums.add(0, amount)
    assert sums.shown[0] == min(7 + sum(amounts), SHOWN_MAX)
    dice.shuffle(amounts)
    for amount in amounts:
        sums.add(0, -amount)
    assert list(sums.shown) == [7, 0]
