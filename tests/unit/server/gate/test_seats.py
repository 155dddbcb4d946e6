"""Seats: reserves, shares, and what is given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.gate.levels import GLOBAL_DEFAULT, LEVELS, NODE_HIGH, SEATS_USUAL, SYSTEM, WORKLOAD_LOW, Level
from orchestrator.server.gate.seats import Seats


def _fill(seats: Seats, level: Level, flows: int) -> int:
    """Take whatever these identities can have; returns how many seats that is."""
    taken = 0
    for number in range(flows):
        while seats.is_free(level, f"user-{number}"):
            seats.take(level, f"user-{number}")
            taken += 1
    return taken


def test_one_identity_leaves_half_of_what_there_is_to_others() -> None:
    seats = Seats(LEVELS, SEATS_USUAL)
    first = _fill(seats, GLOBAL_DEFAULT, 1)
    assert seats.is_free(GLOBAL_DEFAULT, "another")
    assert _fill(seats, GLOBAL_DEFAULT, 2) == first


@pytest.mark.parametrize("level", [NODE_HIGH, SYSTEM, WORKLOAD_LOW], ids=lambda level: level.name)
def test_a_level_has_its_reserve_whatever_others_take(level: Level) -> None:
    seats = Seats(LEVELS, SEATS_USUAL)
    for other in LEVELS:
        if other is not level:
            _fill(seats, other, 50)
    assert _fill(seats, level, 50) == level.reserve


def test_without_seats_nobody_is_seated() -> None:
    seats = Seats(LEVELS, 0)
    assert not any(seats.is_free(level, "somebody") for level in LEVELS)


@given(
    st.integers(min_value=0, max_value=60),
    st.lists(st.tuples(st.booleans(), st.sampled_from(LEVELS), st.sampled_from("abc")), max_size=300),
)
def test_counts_hold_whatever_comes_and_goes(total: int, steps: list[tuple[bool, Level, str]]) -> None:
    seats = Seats(LEVELS, total)
    seated: list[tuple[Level, str]] = []
    for comes, level, flow in steps:
        if comes:
            if seats.is_free(level, flow):
                seats.take(level, flow)
                seated.append((level, flow))
        elif (level, flow) in seated:
            seated.remove((level, flow))
            seats.give_back(level, flow)
        assert len(seated) <= total
        for one in LEVELS:
            assert seats.of_level(one) == sum(of is one for of, _ in seated)
            reserve = one.reserve * total // SEATS_USUAL
            assert seats.of_level(one) >= reserve or not seats.is_full(one)
    for level, flow in seated:
        seats.give_back(level, flow)
    assert all(not seats.of_flow(level, flow) for level in LEVELS for flow in "abc")
