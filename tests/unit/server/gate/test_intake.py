"""Bodies on their way in: how large, how many at once, and what is reserved for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import web

from orchestrator.machinery.errors import BadRequest, RequestEntityTooLarge, TooManyRequests
from orchestrator.server.gate.intake import Intake, IntakeLimits
from orchestrator.server.gate.levels import CATCH_ALL, EXEMPT, GLOBAL_DEFAULT, SYSTEM, WORKLOAD_LOW, Level

LIMITS = IntakeLimits(body_bytes=10, flow_bytes=16, total_bytes=40, reserve_bytes=10)


class Arriving:
    """A request whose body comes in pieces; `is_whole` if it came with the head. None: it never ends."""

    def __init__(self, *pieces: bytes | Exception | None, is_whole: bool = False, length: int | None = None) -> None:
        self._pieces = list(pieces)
        self._is_whole = is_whole
        self.content_length = length
        self.headers: dict[str, str] = {}
        self.transport = None
        self.content = self

    def is_eof(self) -> bool:
        return self._is_whole

    def read_nowait(self) -> bytes:
        return b"".join(piece for piece in self._pieces if isinstance(piece, bytes))

    async def readany(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if piece is None:
            await asyncio.Event().wait()
            raise AssertionError
        if isinstance(piece, Exception):
            raise piece
        return piece


async def _read(intake: Intake, http: Arriving, level: Level = GLOBAL_DEFAULT, flow: str = "jane") -> bytes:
    return await intake.read(http, level, flow)  # type: ignore[arg-type]


async def _room(intake: Intake, level: Level, flow: str) -> int:
    """How many more bytes this identity may send."""
    size = 0
    while True:
        try:
            size += len(await _read(intake, Arriving(b"x", is_whole=True), level, flow))
        except TooManyRequests:
            intake.give_back(size, flow)
            return size


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(
    ("pieces", "fits"),
    [([b"x" * 10], True), ([b"x" * 6, b"x" * 4], True), ([b"x" * 11], False), ([b"x" * 6] * 2, False)],
)
async def test_a_body_has_a_size_at_most_whatever_its_head_says(
    pieces: Sequence[bytes], fits: bool, is_whole: bool
) -> None:
    intake = Intake(LIMITS)
    http = Arriving(*pieces, is_whole=is_whole)
    if fits:
        assert await _read(intake, http) == b"".join(pieces)
        assert await _room(intake, GLOBAL_DEFAULT, "jane") == 6, "it is held"
        intake.give_back(10, "jane")
    else:
        with pytest.raises(RequestEntityTooLarge):
            await _read(intake, http)
    assert await _room(intake, GLOBAL_DEFAULT, "jane") == 16


async def test_a_head_that_promises_too_much_is_refused_before_the_body_comes() -> None:
    assert await _read(Intake(LIMITS), Arriving(b"x", length=10)) == b"x"
    with pytest.raises(RequestEntityTooLarge):
        await _read(Intake(LIMITS), Arriving(None, length=11))


async def test_one_identity_has_a_share_but_masters() -> None:
    assert await _room(Intake(LIMITS), GLOBAL_DEFAULT, "jane") == 16
    assert await _room(Intake(LIMITS), SYSTEM, "system:node:n1") == 16
    assert await _room(Intake(LIMITS), EXEMPT, "admin") == 40


@pytest.mark.parametrize("level", [WORKLOAD_LOW, GLOBAL_DEFAULT, CATCH_ALL], ids=lambda level: level.name)
async def test_people_and_pods_leave_the_reserve_to_the_system(level: Level) -> None:
    intake = Intake(LIMITS)
    for flow in ("a", "b", "c"):
        await _read(intake, Arriving(b"x" * 10, is_whole=True), level, flow)
    assert await _room(intake, level, "d") == 0
    assert await _room(intake, SYSTEM, "system:node:n1") == 10
    assert await _room(intake, EXEMPT, "admin") == 10


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("end", "raised"),
    [
        pytest.param(web.RequestPayloadError("cut"), BadRequest, id="framed-wrongly"),
        pytest.param(None, TimeoutError, id="never-comes"),
        pytest.param(b"x" * 9, RequestEntityTooLarge, id="too-large"),
    ],
)
async def test_a_body_that_does_not_come_whole_holds_nothing(
    end: bytes | Exception | None, raised: type[Exception]
) -> None:
    intake = Intake(LIMITS)
    with pytest.raises(raised):
        await _read(intake, Arriving(b"xxx", end))
    assert await _room(intake, GLOBAL_DEFAULT, "jane") == 16
