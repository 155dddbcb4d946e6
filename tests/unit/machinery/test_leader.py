"""Who may take a lease, and that never two hold it: not when answers are slow, not when a process was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.api.codec import decode_into, encode
from orchestrator.api.views.meta import LeaseSpec, LeaseView
from orchestrator.machinery.errors import AlreadyExists, Conflict, NotFound
from orchestrator.machinery.leader import LeaderElection, LeadershipLost, Observed, lost_in, may_acquire
from tests.support.time import LoopClock


def a_lease(holder: str | None) -> LeaseView:
    return LeaseView(spec=LeaseSpec(holder_identity=holder, lease_duration_seconds=15))


@pytest.mark.parametrize(
    ("observed", "now_s", "expected"),
    [
        pytest.param(None, 0, True, id="no-lease"),
        pytest.param(Observed(a_lease(None), 0), 1, True, id="released"),
        pytest.param(Observed(a_lease("me"), 0), 1, True, id="already-ours"),
        pytest.param(Observed(a_lease("other"), 0), 14.9, False, id="held"),
        pytest.param(Observed(a_lease("other"), 0), 15, True, id="unchanged-for-its-duration"),
    ],
)
def test_may_acquire(observed: Observed | None, now_s: float, expected: bool) -> None:
    assert may_acquire(observed, identity="me", now_s=now_s) is expected


class Leases:
    """The server's side of one lease, and how long an answer takes on its way. Stands in for `Client`."""

    def __init__(self) -> None:
        self.stored: LeaseView | None = None
        self.revision = 0

    def client(self) -> Line:
        return Line(self)


class Line:
    """One candidate's way to the server; so long do answers take after what was asked has been done."""

    def __init__(self, server: Leases) -> None:
        self._server = server
        self.read_s = 0.0
        self.write_s = 0.0

    async def get(self, resource: object, name: str, namespace: str, *, into: object) -> LeaseView:
        found = self._server.stored
        await asyncio.sleep(self.read_s)
        if found is None:
            raise NotFound(name)
        return found

    async def create(self, resource: object, body: dict[str, Any], namespace: str, *, into: object) -> LeaseView:
        if self._server.stored is not None:
            raise AlreadyExists("there is one")
        return await self._store(body)

    async def update(
        self, resource: object, name: str, body: dict[str, Any], namespace: str, *, into: object
    ) -> LeaseView:
        stored = self._server.stored
        if stored is None or body["metadata"]["resourceVersion"] != stored.metadata.resource_version:
            raise Conflict("changed")
        return await self._store(body)

    async def _store(self, body: dict[str, Any]) -> LeaseView:
        self._server.revision += 1
        metadata = body["metadata"] | {"resourceVersion": str(self._server.revision)}
        self._server.stored = written = decode_into(encode(body | {"metadata": metadata}), LeaseView)
        await asyncio.sleep(self.write_s)
        return written


class Candidate:
    """One process that wants to lead; `led` are the spans in which it would have written, as it goes along."""

    def __init__(self, leases: Leases, identity: str) -> None:
        self.line = leases.client()
        self.election = LeaderElection(self.line, LoopClock(), name="test", identity=identity)  # type: ignore[arg-type]
        self.writes: list[float] = []

    async def run(self) -> None:
        while True:
            with suppress(ExceptionGroup):
                await self.election.run(self._lead)

    async def _lead(self) -> None:
        while True:
            if self.election.leads():
                self.writes.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.25)


@pytest.mark.parametrize("read_s", [0.0, 0.5, 4.9])
@pytest.mark.parametrize("write_s", [0.0, 2.4, 7.5, 9.0, 30.0])
@pytest.mark.parametrize("slow_for_s", [2.0, 60.0])
@pytest.mark.looptime
async def test_there_are_never_two_leaders_however_long_answers_take(
    read_s: float, write_s: float, slow_for_s: float
) -> None:
    """The first one's line gets slow at some instant of its rhythm and then dead; both go on trying."""
    for slow_from_s in (0.0, 1.0, 1.6, 1.9):
        leases = Leases()
        first, second = Candidate(leases, "a"), Candidate(leases, "b")
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(first.run(), name="first")]
            await asyncio.sleep(0.5)
            running.append(group.create_task(second.run(), name="second"))
            await asyncio.sleep(20 + slow_from_s)
            first.line.read_s, first.line.write_s = read_s, write_s
            await asyncio.sleep(slow_for_s)
            first.line.read_s = first.line.write_s = 1000.0
            await asyncio.sleep(60)
            for task in running:
                task.cancel()
        led = sorted([(when, "a") for when in first.writes] + [(when, "b") for when in second.writes])
        changes = [after[0] for before, after in pairwise(led) if before[1] != after[1]]
        assert first.writes
        assert second.writes
        assert all(later - sooner > 2.0 for sooner, later in pairwise(changes)), f"slow from {slow_from_s}: {changes}"


@pytest.mark.looptime
async def test_a_leader_that_was_stopped_for_a_while_does_not_write_when_it_goes_on() -> None:
    leases, clock = Leases(), StoppableClock()
    election = LeaderElection(leases.client(), clock, name="test", identity="a")  # type: ignore[arg-type]
    leads = asyncio.Event()

    async def lead() -> None:
        leads.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(_ends_with_leadership_lost(election, lead), name="leader")
        await leads.wait()
        assert election.leads()
        assert election.failure() is None
        clock.stopped_s += 11.0  # no task of ours has run since: SIGSTOP, then SIGCONT
        assert not election.leads()
        assert election.failure() == "lease 'test' is not renewed"
        await running
    assert election.failure() is None, "who waits for others to lead is well"
    assert leases.stored is not None
    assert leases.stored.spec.holder_identity == "a", "what it has lost it gives to nobody"


@pytest.mark.looptime
async def test_whose_renewal_gets_no_answer_stops_when_it_no_longer_leads() -> None:
    leader = Candidate(Leases(), "a")
    loop = asyncio.get_running_loop()

    async def lead() -> None:
        leader.line.read_s = 1000.0
        await asyncio.Event().wait()

    await _ends_with_leadership_lost(leader.election, lead)
    assert loop.time() == pytest.approx(10.0), (
        "ten seconds after it was asked for the lease, not after the last attempt"
    )


@pytest.mark.looptime
async def test_transitions_count_leaders_and_not_renewals() -> None:
    leases = Leases()
    first, second = Candidate(leases, "a"), Candidate(leases, "b")
    told: list[tuple[str | None, int | None]] = []
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(first.run(), name="first")]
        await asyncio.sleep(5)
        running.append(group.create_task(second.run(), name="second"))
        for _ in range(2):
            await asyncio.sleep(15)
            assert leases.stored is not None
            told.append((leases.stored.spec.holder_identity, leases.stored.spec.lease_transitions))
        first.line.read_s = 1000.0
        await asyncio.sleep(60)
        assert leases.stored is not None
        told.append((leases.stored.spec.holder_identity, leases.stored.spec.lease_transitions))
        for task in running:
            task.cancel()
    assert told == [("a", 0), ("a", 0), ("b", 1)]


@pytest.mark.looptime
async def test_a_lease_that_somebody_else_holds_is_lost_at_once() -> None:
    leases = Leases()
    election = LeaderElection(leases.client(), LoopClock(), name="test", identity="a")  # type: ignore[arg-type]
    leads = asyncio.Event()

    async def lead() -> None:
        leads.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(_ends_with_leadership_lost(election, lead), name="leader")
        await leads.wait()
        assert leases.stored is not None
        leases.stored = replace(leases.stored, spec=replace(leases.stored.spec, holder_identity="b"))
        await asyncio.sleep(2.5)
        assert not election.leads()
        await running


@pytest.mark.looptime
async def test_who_ends_in_order_gives_the_lease_back_once_its_work_has_ended() -> None:
    leases = Leases()
    first, second = Candidate(leases, "a"), Candidate(leases, "b")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(first.election.run(first._lead), name="first")
        await asyncio.sleep(1)
        following = group.create_task(second.run(), name="second")
        await asyncio.sleep(30)
        running.cancel()
        await asyncio.wait([running])
        assert leases.stored is not None
        assert not leases.stored.spec.holder_identity
        await asyncio.sleep(2.5)
        assert second.writes, "without waiting for the lease to run out"
        following.cancel()


def test_a_process_that_ended_by_the_loss_of_its_lease_is_told_from_one_that_failed() -> None:
    lost = LeadershipLost("cannot renew")
    assert lost_in(ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [lost])])) is lost
    assert lost_in(ExceptionGroup("a", [ValueError()])) is None
    assert lost_in(ValueError()) is None


class StoppableClock(LoopClock):
    """The loop's time and what passed while the process was stopped."""

    stopped_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.stopped_s


async def _ends_with_leadership_lost(election: LeaderElection, lead: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(ExceptionGroup) as ended:
        await election.run(lead)
    assert ended.group_contains(LeadershipLost)
