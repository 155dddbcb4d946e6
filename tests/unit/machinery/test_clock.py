"""Times leave the clock in a form that every client can read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.machinery.clock import micro_timestamp, parse_timestamp, timestamp


@pytest.mark.parametrize(
    ("now", "whole", "micro"),
    [
        (1_700_000_000.25, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.250000Z"),
        (-0.5, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.500000Z"),
        (1e15, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
        (math.inf, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
        (-1e15, "1000-01-01T00:00:00Z", "1000-01-01T00:00:00.000000Z"),
    ],
)
def test_times_as_objects_carry_them(now: float, whole: str, micro: str) -> None:
    assert timestamp(now) == whole
    assert micro_timestamp(now) == micro


@given(st.floats(allow_nan=False) | st.integers(-(1 << 63), 1 << 63))
def test_no_time_after_the_year_9999_leaves_the_clock(now: float) -> None:
    for text in (timestamp(now), micro_timestamp(now)):
        assert text[4] == "-"
        assert parse_timestamp(text) <= 253_402_300_800
