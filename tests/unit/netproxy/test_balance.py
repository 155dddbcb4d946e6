"""The choice of a back end."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from netproxy.balance import CLIENTS_MAX, SUSPECT_S, Balancer
from netproxy.rules import Backend, Rule

A, B, C = (Backend(f"10.0.0.{number}", 80) for number in (1, 2, 3))


def picks(balancer: Balancer, count: int, client: str = "10.9.9.9", now: float = 0.0) -> list[Backend | None]:
    return [balancer.pick(client, now) for _ in range(count)]


def test_round_robin_takes_each_in_turn_from_where_it_was_told_to_start():
    assert picks(Balancer(Rule("s", (A, B, C)), start=1), 4) == [B, C, A, B]


@given(st.integers(1, 20), st.integers(1, 200), st.integers(0, 50))
def test_round_robin_is_fair(count, connections, start):
    backends = tuple(Backend("10.0.0.1", port) for port in range(1, count + 1))
    taken = Counter(picks(Balancer(Rule("s", backends), start=start), connections))
    assert max(taken.values()) - min(taken[backend] for backend in backends) <= 1


def test_without_back_ends_there_is_nothing_to_pick():
    assert Balancer(Rule("s")).pick("10.9.9.9", 0.0) is None


def test_what_was_tried_is_not_picked_again():
    balancer = Balancer(Rule("s", (A, B)))
    assert balancer.pick("c", 0.0, tried=[A]) == B
    assert balancer.pick("c", 0.0, tried=[A, B]) is None


def test_a_back_end_that_failed_is_passed_over_for_a_while():
    balancer = Balancer(Rule("s", (A, B)))
    balancer.failed(A, now=10.0)
    assert picks(balancer, 3, now=10.1) == [B, B, B]
    assert set(picks(balancer, 2, now=10.0 + SUSPECT_S)) == {A, B}


def test_back_ends_that_all_failed_are_better_than_none():
    balancer = Balancer(Rule("s", (A, B)))
    balancer.failed(A, now=0.0)
    balancer.failed(B, now=0.0)
    assert set(picks(balancer, 2, now=0.1)) == {A, B}


def test_a_client_stays_where_it_is():
    balancer = Balancer(Rule("s", (A, B, C), affinity_s=60))
    homes = {client: balancer.pick(client, 0.0) for client in ("c1", "c2", "c3", "c4", "c5", "c6")}
    assert len(set(homes.values())) > 1
    assert {client: balancer.pick(client, 59.0) for client in homes} == homes


def test_a_client_stays_although_back_ends_come():
    balancer = Balancer(Rule("s", (A,), affinity_s=60))
    clients = [f"c{number}" for number in range(20)]
    for client in clients:
        balancer.pick(client, 0.0)
    balancer.update(Rule("s", (A, B, C), affinity_s=60))
    assert {balancer.pick(client, 1.0) for client in clients} == {A}
    assert {balancer.pick(client, 62.0) for client in clients} == {A, B, C}


def test_a_client_moves_when_its_back_end_has_gone():
    balancer = Balancer(Rule("s", (A, B), affinity_s=60))
    home = balancer.pick("c", 0.0)
    rest = tuple(backend for backend in (A, B) if backend != home)
    balancer.update(Rule("s", rest, affinity_s=60))
    assert balancer.pick("c", 1.0) == rest[0]


def test_another_process_sends_a_client_to_the_same_place():
    rule = Rule("s", (A, B, C), affinity_s=60)
    assert [Balancer(rule, start=0).pick(f"c{n}", 0.0) for n in range(9)] == [
        Balancer(rule, start=1).pick(f"c{n}", 0.0) for n in range(9)
    ]


def test_the_memory_of_clients_is_bounded():
    balancer = Balancer(Rule("s", (A, B), affinity_s=60))
    for number in range(CLIENTS_MAX + 10):
        balancer.pick(f"c{number}", 0.0)
    assert len(balancer._policy._homes) == CLIENTS_MAX


def test_the_turn_survives_a_changed_rule():
    balancer = Balancer(Rule("s", (A, B, C)))
    picks(balancer, 2)
    balancer.update(Rule("s", (A, B)))
    assert set(picks(balancer, 2)) == {A, B}


def test_unknown_clients_are_spread_evenly():
    backends = tuple(Backend(f"10.244.{number}.7", 8080) for number in range(5))
    balancer = Balancer(Rule("s", backends, affinity_s=60))
    taken = Counter(balancer.pick(f"10.1.{number >> 8}.{number & 255}", 0.0) for number in range(5_000))
    assert all(800 < taken[backend] < 1_200 for backend in backends)


def test_a_client_keeps_its_place_from_release_to_release():
    # Another hash would move every client of a restarted proxy.
    balancer = Balancer(Rule("s", (A, B, C), affinity_s=60))
    homes = "".join("ABC"[(A, B, C).index(balancer.pick(f"10.9.0.{number}", 0.0))] for number in range(40))
    assert homes == "CCCABCCBCBCCACCACCAABBBBBAABBCCAACACABCC"


def test_a_suspect_that_is_no_back_end_any_more_is_forgotten_and_is_none_when_it_comes_back():
    balancer = Balancer(Rule("s", (A, B)))
    balancer.failed(A, now=0.0)
    balancer.failed(C, now=0.0)
    balancer.update(Rule("s", (B, C)))
    balancer.update(Rule("s", (A, B, C)))
    assert set(picks(balancer, 3, now=0.1)) == {A, B, C}
