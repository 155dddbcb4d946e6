"""The watch protocol: any cut of the bytes gives the same events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.machinery.errors import BadRequest, Gone
from orchestrator.machinery.watch_stream import WatchEvent, WatchStream

BODY = (
    b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"1"}}}\n'
    b'{"type":"MODIFIED","object":{"metadata":{"name":"\xc3\xbc"}}}\n'
    b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}\n'
)
EVENTS = [
    WatchEvent("ADDED", b'{"metadata":{"name":"a","resourceVersion":"1"}}'),
    WatchEvent("MODIFIED", b'{"metadata":{"name":"\xc3\xbc"}}'),
    WatchEvent("BOOKMARK", b'{"metadata":{"resourceVersion":"9"}}'),
]


@given(st.lists(st.integers(0, len(BODY)), max_size=8))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    stream, events = WatchStream(), []
    edges = [0, *sorted(cuts), len(BODY)]
    for start, end in itertools.pairwise(edges):
        events += stream.feed(BODY[start:end])
    assert events == EVENTS


def test_an_error_event_raises_what_it_says() -> None:
    status = b'{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}'
    with pytest.raises(Gone, match="too old"):
        WatchStream().feed(b'{"type":"ERROR","object":' + status + b"}\n")


def test_what_is_no_watch_is_refused() -> None:
    with pytest.raises(BadRequest, match="cannot read the watch"):
        WatchStream().feed(b"<html>\n")
