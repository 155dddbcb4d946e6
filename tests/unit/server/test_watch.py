"""How a watch's lines are written, and what it begins with."""

from __future__ import annotations

import asyncio
import json
from itertools import islice, repeat
from typing import cast

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.kinds import BUILT_IN, Kind
from orchestrator.api.selectors import parse_field_selector
from orchestrator.server.endpoints.watch import Stream, gathered, missed
from orchestrator.server.watch_cache import Collection
from orchestrator.server.watches import PLAIN, Filter, Form, Progress, Shape, TooSlow


@given(lines=st.lists(st.binary(min_size=1, max_size=9)), bytes_max=st.integers(1, 20))
def test_lines_are_gathered_into_pieces_and_none_is_lost(lines: list[bytes], bytes_max: int) -> None:
    pieces = list(gathered(lines, bytes_max))
    assert b"".join(pieces) == b"".join(lines)
    # A piece is full with its last line, not before.
    assert all(len(piece) < bytes_max + 9 for piece in pieces)
    assert all(len(piece) >= bytes_max for piece in pieces[:-1])


def pods() -> Kind:
    found = BUILT_IN.find("", "v1", "pods")
    assert found is not None
    return found


def a_collection(count: int) -> Collection:
    """Pods that were created one after the other, in turn on two nodes."""
    collection = Collection(progress=Progress(count), window_start=1, indexes=pods().indexes)
    for number in range(2, count + 2):
        obj = {"metadata": {"name": f"p{number}"}, "spec": {"nodeName": f"n{number % 2}"}}
        value = b'{"metadata":{"resourceVersion":"%d",%b' % (number, json.dumps(obj).encode()[len('{"metadata": {') :])
        collection.apply("default", f"p{number}", value, number)
    return collection


def test_what_a_client_missed_is_encoded_only_as_it_takes_it() -> None:
    encoded: list[bytes] = []

    def encode(value: bytes) -> bytes:
        encoded.append(value)
        return value

    collection = a_collection(100)
    lines = iter(missed(collection, pods(), Filter(), Form(("counted",), Shape.OBJECT, encode), 1))
    assert encoded == []
    taken = list(islice(lines, 3))
    assert len(taken) == len(encoded) == 3
    # What happens after it began is the watcher's to tell.
    collection.apply("default", "p2", None, 200)
    assert sum(line is not None for line in lines) == 97


def test_of_what_happened_a_node_gets_its_own_pods_and_only_those_are_decoded() -> None:
    decoded: list[str] = []

    def fields_of(obj: dict[str, dict[str, str]]) -> dict[str, str]:
        decoded.append(obj["metadata"]["name"])
        return {"spec.nodeName": obj["spec"]["nodeName"]}

    filter_ = Filter(fields=parse_field_selector("spec.nodeName=n1"), fields_of=fields_of)
    form = Form((), Shape.OBJECT, lambda value: value)
    lines = [line for line in missed(a_collection(10), pods(), filter_, form, 1) if line is not None]
    assert [json.loads(line)["object"]["metadata"]["name"] for line in lines] == ["p3", "p5", "p7", "p9", "p11"]
    assert decoded == ["p3", "p5", "p7", "p9", "p11"]


class Sluggish:
    """A client that takes every piece, each after a while."""

    def __init__(self) -> None:
        self.taken = 0

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0.002)
        self.taken += 1


async def test_a_watch_that_takes_its_beginning_bit_by_bit_does_not_keep_its_seat_for_ever() -> None:
    client = Sluggish()
    stream = Stream(cast(web.StreamResponse, client), pods(), PLAIN, first_s=0.05)
    with pytest.raises(TooSlow):
        await stream.send_first(repeat(b"x" * (64 << 10)))
    assert client.taken


async def test_a_watch_that_has_begun_takes_what_happens_as_slowly_as_it_happens() -> None:
    client = Sluggish()
    stream = Stream(cast(web.StreamResponse, client), pods(), PLAIN, first_s=0)
    stream.has_begun()
    for _ in range(5):
        await stream.send([b"x"])
    assert client.taken == 5
