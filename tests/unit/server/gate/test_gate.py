"""The gate: who waits, in what order they are seated, and who is told to come again. On virtual time."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from orchestrator.machinery.errors import TooManyRequests
from orchestrator.server.gate.gate import Gate, GateLimits, Seat, Streams
from orchestrator.server.gate.levels import EXEMPT, GLOBAL_DEFAULT, NODE_HIGH

_ONE_SEAT = GateLimits(seats=1, wait_s=15.0, waiting_of_flow=2, waiting=3)


async def _waiting(gate: Gate, flow: str, level: object = GLOBAL_DEFAULT) -> asyncio.Task[Seat]:
    task = asyncio.create_task(gate.enter(level, flow), name=flow)  # type: ignore[arg-type]
    await asyncio.sleep(0)  # it stands in the queue from here on
    return task


async def test_who_waits_is_seated_when_a_seat_is_given_back() -> None:
    gate = Gate(_ONE_SEAT)
    seat = await gate.enter(GLOBAL_DEFAULT, "a")
    task = await _waiting(gate, "b")
    assert not task.done()
    seat.give_back()
    (await task).give_back()


async def test_a_seat_is_given_back_once() -> None:
    gate = Gate(_ONE_SEAT)
    seat = await gate.enter(GLOBAL_DEFAULT, "a")
    seat.give_back()
    seat.give_back()
    await gate.enter(GLOBAL_DEFAULT, "a")
    task = await _waiting(gate, "b")
    assert not task.done()
    task.cancel()


@pytest.mark.looptime
async def test_who_has_waited_too_long_is_told_to_come_again(looptime: object) -> None:
    gate = Gate(_ONE_SEAT)
    seat = await gate.enter(GLOBAL_DEFAULT, "a")
    with pytest.raises(TooManyRequests) as refused:
        await gate.enter(GLOBAL_DEFAULT, "b")
    assert looptime == pytest.approx(15.0)
    assert refused.value.details["retryAfterSeconds"] == 1
    seat.give_back()
    (await gate.enter(GLOBAL_DEFAULT, "b")).give_back()


@pytest.mark.looptime
async def test_the_queue_is_bounded_by_identity_and_in_all(looptime: object) -> None:
    gate = Gate(_ONE_SEAT)
    await gate.enter(GLOBAL_DEFAULT, "a")
    tasks = [await _waiting(gate, "b"), await _waiting(gate, "b")]
    with pytest.raises(TooManyRequests):
        await gate.enter(GLOBAL_DEFAULT, "b")
    tasks.append(await _waiting(gate, "c"))
    with pytest.raises(TooManyRequests):
        await gate.enter(GLOBAL_DEFAULT, "d")
    assert looptime == 0, "who finds it full does not wait"
    for task in tasks:
        task.cancel()


async def test_an_identity_that_asks_once_does_not_wait_behind_one_that_floods() -> None:
    gate = Gate(GateLimits(seats=4))
    seats = [await gate.enter(GLOBAL_DEFAULT, "flood") for _ in range(2)]  # its share
    flood = [await _waiting(gate, "flood") for _ in range(20)]
    (await gate.enter(GLOBAL_DEFAULT, "one")).give_back()
    others = [await gate.enter(GLOBAL_DEFAULT, name) for name in ("x", "y")]
    one = await _waiting(gate, "one")
    others[0].give_back()
    (await one).give_back()
    assert not any(task.done() for task in flood)
    for seat in seats:
        seat.give_back()
    await flood[0]
    for task in flood:
        task.cancel()


async def test_a_node_goes_before_people_that_wait() -> None:
    gate = Gate(_ONE_SEAT)
    seat = await gate.enter(GLOBAL_DEFAULT, "a")
    person = await _waiting(gate, "b")
    node = await _waiting(gate, "system:node:n1", NODE_HIGH)
    seat.give_back()
    await node
    assert not person.done()
    person.cancel()


async def test_what_is_exempt_needs_no_seat() -> None:
    gate = Gate(GateLimits(seats=0))
    await gate.enter(EXEMPT, "admin")


async def test_a_seat_that_comes_to_somebody_who_has_left_goes_to_the_next() -> None:
    gate = Gate(_ONE_SEAT)
    seat = await gate.enter(GLOBAL_DEFAULT, "a")
    gone = await _waiting(gate, "b")
    after = await _waiting(gate, "c")
    seat.give_back()  # it is b's
    gone.cancel()  # who is told in the same moment that nobody waits for the answer
    (await after).give_back()


def test_one_identity_has_at_most_half_of_the_streams() -> None:
    streams = Streams(6)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(streams.seated(GLOBAL_DEFAULT, "a"))
        with pytest.raises(TooManyRequests), streams.seated(GLOBAL_DEFAULT, "a"):
            pass
        with streams.seated(GLOBAL_DEFAULT, "b"):
            pass
    with streams.seated(GLOBAL_DEFAULT, "a"):
        pass


@pytest.mark.parametrize("others", [0, 1])
async def test_a_seat_that_comes_free_as_its_waiter_goes_is_not_lost(others: int) -> None:
    gate = Gate(_ONE_SEAT)
    seat = await gate.enter(GLOBAL_DEFAULT, "a")
    leaving = await _waiting(gate, "b")
    staying = [await _waiting(gate, "c") for _ in range(others)]
    leaving.cancel()
    seat.give_back()  # before the one who goes has had the loop
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    for task in staying:
        (await task).give_back()
    (await asyncio.wait_for(gate.enter(GLOBAL_DEFAULT, "d"), 1)).give_back()


def test_a_crowd_of_streams_does_not_keep_masters_out() -> None:
    streams = Streams(2)
    with streams.seated(GLOBAL_DEFAULT, "a"), streams.seated(GLOBAL_DEFAULT, "b"):
        with pytest.raises(TooManyRequests), streams.seated(GLOBAL_DEFAULT, "c"):
            pass
        with streams.seated(EXEMPT, "admin"), streams.seated(EXEMPT, "admin"):
            pass
