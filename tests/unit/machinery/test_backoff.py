"""Delays: doubling, bounded, jitter within its share."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.machinery.backoff import Backoff, jittered


@pytest.mark.parametrize(
    ("failures", "delay_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (6, 10.0), (10_000, 10.0), (0, 0.5)]
)
def test_delays_double_up_to_the_limit(failures: int, delay_s: float) -> None:
    assert Backoff(first_s=0.5, limit_s=10.0).delay_s(failures) == delay_s


@given(st.floats(0.001, 1000), st.integers())
def test_jitter_only_lengthens_and_by_half_at_most(delay_s: float, seed: int) -> None:
    assert delay_s <= jittered(delay_s, dice=random.Random(seed)) <= delay_s * 1.5
