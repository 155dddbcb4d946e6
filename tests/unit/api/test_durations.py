from __future__ import annotations

import pytest

from orchestrator.api.printing.durations import age, human_duration, seconds_of

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 86400 * 365


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (0.9, "0s"), (119, "119s"), (2 * MINUTE, "2m"), (150, "2m30s"),
        (10 * MINUTE - 1, "9m59s"), (10 * MINUTE, "10m"), (3 * HOUR - 1, "179m"), (3 * HOUR, "3h"),
        (5 * HOUR + 10 * MINUTE, "5h10m"), (8 * HOUR + 5, "8h"), (48 * HOUR - 1, "47h"), (2 * DAY, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"), (8 * DAY - 1, "7d23h"), (8 * DAY, "8d"), (2 * YEAR - 1, "729d"), (2 * YEAR, "2y"),
        (2 * YEAR + 10 * DAY, "2y10d"), (8 * YEAR, "8y"), (8 * YEAR + 2 * DAY, "8y"),
        (9 * YEAR + 50 * DAY, "9y"),
    ],
)  # fmt: skip
def test_durations_are_shown_as_kubectl_shows_them(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_an_age_needs_a_beginning() -> None:
    assert age("2026-01-01T00:00:00Z", seconds_of("2026-01-01T00:01:30Z")) == "90s"
    assert age("2026-01-01T00:00:00.500000Z", seconds_of("2026-01-01T00:01:30Z")) == "89s"
    assert age(None, 0) == "<unknown>"
    assert age("", 0) == "<unknown>"
