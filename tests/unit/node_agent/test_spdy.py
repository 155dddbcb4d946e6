"""SPDY frames."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.kubelet.spdy import DICTIONARY, BadFrame, Data, Framer, Open, Ping, Reply, Reset


def test_the_dictionary_is_the_specifications():
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


headers = st.dictionaries(st.from_regex(r"[a-z-]{1,12}", fullmatch=True), st.text("abc/:;1 ", max_size=20), max_size=5)


@given(given_headers=headers, body=st.binary(max_size=300), data=st.data())
def test_what_one_end_says_the_other_hears_however_it_is_cut(given_headers, body, data):
    here, there = Framer(), Framer()
    sent = here.open(1, given_headers) + here.data(1, body, fin=True) + here.ping(7) + here.reset(3) + here.reply(2)
    heard = []
    while sent:
        cut = data.draw(st.integers(1, len(sent)))
        heard += there.feed(sent[:cut])
        sent = sent[cut:]
    assert heard == [Open(1, given_headers), Data(1, body, fin=True), Ping(7), Reset(3), Reply(2)]


@given(noise=st.binary(max_size=200))
def test_noise_is_refused_or_ignored_but_breaks_nothing(noise):
    framer = Framer()
    try:
        framer.feed(noise)
    except BadFrame:
        return


def test_a_frame_that_is_too_large_is_refused():
    with pytest.raises(BadFrame, match="too large"):
        Framer().feed(b"\x00\x00\x00\x01\x00\xff\xff\xff")


def test_headers_that_unfold_without_end_are_refused():
    bomb = Framer().open(1, {"a": "x" * 1_000_000})
    with pytest.raises(BadFrame, match="too many headers"):
        Framer().feed(bomb)
