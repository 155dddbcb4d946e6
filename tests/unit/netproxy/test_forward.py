"""Parts of the data path that need no second process."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netproxy.forward import channel
from netproxy.forward.channel import Batch, Frames, Report
from netproxy.forward.pipes import KEPT_MAX, PipePool
from netproxy.forward.tally import Totals
from netproxy.rules import Backend, Drop, Frontend, Put, Rule


def test_a_pipe_that_still_holds_bytes_is_never_lent_again():
    pool = PipePool()
    dirty = pool.take()
    assert dirty is not None
    os.write(dirty[1], b"somebody's secret")
    pool.give(dirty, held_bytes=17)
    for end in dirty:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)
    pool.close()


def test_a_clean_pipe_is_lent_again_and_only_so_many_are_kept():
    pool = PipePool()
    lent = [pool.take() for _ in range(KEPT_MAX + 2)]
    for ends in lent:
        assert ends is not None
        pool.give(ends, held_bytes=0)
    again = [pool.take() for _ in range(KEPT_MAX)]
    assert set(again) == set(lent[:KEPT_MAX])
    for ends in again:
        assert ends is not None
        pool.give(ends, held_bytes=0)
    pool.close()


FRONTEND = Frontend("TCP", "10.96.0.50", 80)
MESSAGES = [
    Batch(7, (Put(FRONTEND, Rule("a/b:c", (Backend("10.0.0.1", 8080),), 30, ("10.0.0.0/8",))), Drop(FRONTEND))),
    Batch(8, ()),
]


@given(st.lists(st.integers(1, 50), max_size=20))
def test_messages_survive_any_cutting_of_the_stream(cuts):
    stream = b"".join(channel.encode(message) for message in MESSAGES)
    frames = Frames()
    got = []
    for size in [*cuts, len(stream)]:
        got += [channel.BATCHES.decode(body) for body in frames.feed(stream[:size])]
        stream = stream[size:]
    assert got == MESSAGES


def test_reports_travel_too():
    report = Report(3, {"a/b": Totals(connections=2, open=1)}, ((FRONTEND, "taken"),))
    (body,) = Frames().feed(channel.encode(report))
    assert channel.REPORTS.decode(body) == report


def test_a_length_that_no_message_has_is_refused():
    with pytest.raises(ValueError, match="over the limit"):
        list(Frames().feed(b"\xff\xff\xff\xff"))


def test_totals_add_up():
    assert Totals(1, 2, 3, 4, 5, 6) + Totals(10, 20, 30, 40, 50, 60) == Totals(11, 22, 33, 44, 55, 66)
