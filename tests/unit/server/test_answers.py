"""Answers on their way out: made no faster than they are read, and cut off when they are not read at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import HttpVersion10, HttpVersion11
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.answers import WRITE_TIMEOUT_S, Answer, DirectResponse, Listed


class _Client:
    """A connection, seen from the server: it takes `room` bytes before the client has to read."""

    def __init__(self, *, room: int, version: Any = HttpVersion11) -> None:
        self.method, self.version, self.keep_alive = "GET", version, True
        self.transport: Any = self
        self.protocol = self.writer = self
        self.received = b""
        self.was_cut = False
        self._room = room
        self.filled = asyncio.Event()
        self._drained = asyncio.Event()

    @property
    def writing_paused(self) -> bool:
        return len(self.received) > self._room

    def write(self, data: bytes) -> None:
        self.received += data

    async def drain(self) -> None:
        if self.writing_paused:
            self.filled.set()
            await self._drained.wait()

    def read_all(self) -> None:
        self._room = 1 << 40
        self._drained.set()

    def abort(self) -> None:
        self.was_cut = True


class _Pieces:
    """A body that knows how much of it was made."""

    def __init__(self, count: int) -> None:
        self.made = 0
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self._count):
            self.made += 1
            yield b"x" * 1000


@pytest.mark.looptime
async def test_of_an_answer_that_is_not_read_no_more_is_made_and_its_client_is_cut_off(looptime: object) -> None:
    client, pieces = _Client(room=5000), _Pieces(100)
    with pytest.raises(ConnectionError):
        await DirectResponse(Answer(rendered=pieces)).send(client)  # type: ignore[arg-type]
    assert pieces.made < 8
    assert client.was_cut
    assert looptime == pytest.approx(WRITE_TIMEOUT_S)


@pytest.mark.looptime
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(b"x" * 100_000), id="small"),
        pytest.param(Answer(b"x" * 1_000_000), id="large"),
        pytest.param(Answer(parts=Listed(b"[", [b"x" * 1000] * 1000, b"]")), id="list"),
    ],
)
async def test_one_time_limit_holds_for_every_body(answer: Answer, looptime: object) -> None:
    client = _Client(room=5000)
    with pytest.raises(ConnectionError):
        await DirectResponse(answer).send(client)  # type: ignore[arg-type]
    assert client.was_cut
    assert len(client.received) < 300_000
    assert looptime == pytest.approx(WRITE_TIMEOUT_S)


@given(items=st.lists(st.sampled_from([b"", b"a", b"b" * 100_000, b"c" * 300_000]), max_size=12))
def test_a_listed_body_is_its_items_in_pieces(items: list[bytes]) -> None:
    listed = Listed(b"[", items, b"]")
    chunks = list(listed)
    assert b"".join(chunks) == b"[" + b",".join(items) + b"]"
    assert len(listed) == len(b"".join(chunks))
    # No piece goes on after what filled it.
    assert all(len(chunk) < (256 << 10) + 300_002 for chunk in chunks)


async def test_an_answer_that_is_read_goes_on() -> None:
    client, pieces = _Client(room=5000), _Pieces(100)
    sending = asyncio.create_task(DirectResponse(Answer(rendered=pieces)).send(client))  # type: ignore[arg-type]
    await client.filled.wait()
    client.read_all()
    await sending
    assert pieces.made == 100
    assert client.received.endswith(b"0\r\n\r\n")


async def test_for_http_1_0_the_end_of_the_connection_is_the_end_of_the_body() -> None:
    client = _Client(room=1 << 20, version=HttpVersion10)
    response = DirectResponse(Answer(rendered=[b"abc", b"def"]))
    await response.send(client)  # type: ignore[arg-type]
    assert client.received.endswith(b"\r\n\r\nabcdef")
    assert not response.keep_alive
