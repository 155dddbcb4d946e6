"""The timer as a descriptor."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from netproxy.forward.ticker import Ticker


@pytest.fixture
def ticker() -> Iterator[Ticker]:
    made = Ticker()
    yield made
    made.close()


def is_readable(ticker: Ticker, timeout_s: float) -> bool:
    return bool(select.select([ticker.fd], [], [], timeout_s)[0])


def test_it_ticks_again_and_again_until_it_is_stopped(ticker: Ticker) -> None:
    ticker.start(0.01)
    for _ in range(3):
        assert is_readable(ticker, 10)
        ticker.clear()
    ticker.stop()
    ticker.clear()
    assert not is_readable(ticker, 0)


def test_one_that_was_not_started_never_ticks_and_clearing_it_waits_for_nothing(ticker: Ticker) -> None:
    ticker.clear()
    assert not is_readable(ticker, 0)
