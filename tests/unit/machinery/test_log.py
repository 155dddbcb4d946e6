"""Lines that anybody can cause are kept back, and counted."""

from __future__ import annotations

from orchestrator.machinery.log import Sparing
from tests.support.time import ManualClock


def test_one_line_of_a_sort_in_a_while_tells_how_many_were_kept_back() -> None:
    clock = ManualClock()
    sparing = Sparing(clock, every_s=10.0)
    assert [sparing.admits("a") for _ in range(4)] == [0, None, None, None]
    assert sparing.admits("b") == 0
    clock.time_s += 10.0
    assert sparing.admits("a") == 3
    clock.time_s += 10.0
    assert sparing.admits("a") == 0


def test_sorts_are_bounded() -> None:
    sparing = Sparing(ManualClock())
    for number in range(10_000):
        sparing.admits(str(number))
    assert len(sparing._sorts) <= 256
