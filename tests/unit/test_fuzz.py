"""The fuzzer sends the same for the same seed, and what it measures can be measured."""

from __future__ import annotations

import random

from scripts.fuzzing import costs
from scripts.fuzzing.requests import a_request


def test_a_seed_says_which_requests_are_sent():
    first, second = ([a_request(random.Random(seed), "t") for seed in range(300)] for _ in range(2))
    assert first == second
    assert len({one.about for one in first}) > 150


def test_every_sort_of_growing_input_can_be_made_and_run():
    for one in costs.sample(40, random.Random(3)):
        small, run = one.make(8)
        larger, _ = one.make(64)
        assert larger > small, one.name
        costs.timed(run)
