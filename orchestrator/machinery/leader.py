"""Leader election by Lease, so that of several control planes one acts.

The protocol is client-go's `leaderelection`: a lease counts as expired when *we* have not seen it change for its
duration, so clocks of different machines are never compared. Whoever holds it counts from before the request that
renewed it, whoever waits for it from after the answer that showed it: the two never overlap.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.api.resources import LEASES
from orchestrator.api.views.meta import LeaseView
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, micro_timestamp
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import LEADER

logger = get_logger(__name__)

# A server that is there answers in milliseconds; one that is not must not hold up our end.
_RELEASE_TIMEOUT_S = 2.0


class LeadershipLost(Exception):
    """The lease could not be renewed in time: somebody else may lead, so stop at once and start over."""


def lost_in(failure: BaseException) -> LeadershipLost | None:
    """The loss of the lease by which a process ended, if that is why: then there is nothing to find out."""
    if isinstance(failure, BaseExceptionGroup):
        return next((lost for one in failure.exceptions if (lost := lost_in(one)) is not None), None)
    return failure if isinstance(failure, LeadershipLost) else None


@dataclass(frozen=True, slots=True)
class Observed:
    """The lease as last seen, and when (monotonic seconds) it was first seen so."""

    lease: LeaseView
    since_s: float


def may_acquire(observed: Observed | None, *, identity: str, now_s: float) -> bool:
    """Whether the lease is ours to take: absent, released, already ours, or unchanged for its whole duration."""
    if observed is None:
        return True
    holder = observed.lease.spec.holder_identity
    if not holder or holder == identity:
        return True
    return now_s - observed.since_s >= float(observed.lease.spec.lease_duration_seconds or 15)


class LeaderElection:
    """Competes for one lease. `identity` is one process's alone (`serve.process.own_identity`).

    `give_up_after_s` must be well below `duration_s`: what lies between is the time that a leader has to stop.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        name: str,
        identity: str,
        namespace: str = "kube-system",
        duration_s: int = 15,
        renew_every_s: float = 2.0,
        give_up_after_s: float = 10.0,
    ) -> None:
        assert give_up_after_s < duration_s
        self._client = client
        self._clock = clock
        self._name, self._namespace, self._identity = name, namespace, identity
        self._duration_s, self._renew_every_s, self._give_up_after_s = duration_s, renew_every_s, give_up_after_s
        self._observed: Observed | None = None
        # Nobody else leads before the lease's duration has passed since `_renewed_s`; we stop sooner, at this time.
        self._leads_until_s = -math.inf
        self._is_acting = False

    def leads(self) -> bool:
        """Whether we are the leader at this very moment: renewed recently enough that nobody else can be.

        A process that was stopped, or starved, finds out here before it has had the time to notice anything else: this
        is what `Client.fenced` asks before each write.
        """
        return self._clock.monotonic() < self._leads_until_s

    def failure(self) -> str | None:
        """Whether we act as the leader without being it, for people; None when all is well, also while others lead."""
        return f"lease '{self._name}' is not renewed" if self._is_acting and not self.leads() else None

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait until we lead, run `lead`, and keep renewing beside it; raises `LeadershipLost` if that fails.

        Cancelled, it gives the lease back once `lead` has ended, so that a successor need not wait.
        """
        await self._wait_acquired()
        logger.info("leader.acquired", lease=self._name, identity=self._identity)
        LEADER.labels(self._name).set(1)
        self._is_acting = True
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._keep_renewing(), name=f"{self._name}-renew")
                await lead()
                renewing.cancel()
        finally:
            LEADER.labels(self._name).set(0)
            self._is_acting = False
            if self.leads():
                self._leads_until_s = -math.inf
                await self._release()

    async def _wait_acquired(self) -> None:
        while True:
            if await self._try_acquire(self._give_up_after_s):
                return
            await asyncio.sleep(self._renew_every_s)

    async def _keep_renewing(self) -> None:
        while self.leads():
            await asyncio.sleep(self._renew_every_s)
            remaining_s = self._leads_until_s - self._clock.monotonic()
            if remaining_s > 0:
                await self._try_acquire(remaining_s)
        # Not even asked once more: in the meantime somebody else may have led, and have given the lease back.
        raise LeadershipLost(f"cannot renew lease '{self._name}' for {self._give_up_after_s:.0f} s")

    async def _try_acquire(self, timeout_s: float) -> bool:
        began_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                acquired = await self._acquire()
        except (Conflict, AlreadyExists):
            return False
        except (ApiError, Unreachable, TimeoutError) as refused:
            logger.warning("leader.refused", lease=self._name, why=str(refused)[:256])
            return False
        if acquired:
            self._leads_until_s = began_s + self._give_up_after_s
        return self.leads()

    async def _release(self) -> None:
        """Let others have the lease at once; best effort, since it runs out by itself."""
        assert self._observed is not None
        body = self._body(self._observed.lease)
        body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                await self._client.update(LEASES, self._name, body, self._namespace, into=LeaseView)
        except (ApiError, Unreachable, TimeoutError) as refused:
            logger.warning("leader.not_released", lease=self._name, why=str(refused)[:256])

    async def _acquire(self) -> bool:
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace, into=LeaseView)
        except NotFound:
            created = await self._client.create(LEASES, self._body(None), self._namespace, into=LeaseView)
            self._observed = Observed(created, self._clock.monotonic())
            return True
        now_s = self._clock.monotonic()
        if self.leads() and lease.spec.holder_identity != self._identity:
            self._leads_until_s = -math.inf  # taken from us, by whatever right
            return False
        if self._observed is None or self._observed.lease.spec != lease.spec:
            self._observed = Observed(lease, now_s)
        if not may_acquire(self._observed, identity=self._identity, now_s=now_s):
            return False
        body = self._body(lease)
        written = await self._client.update(LEASES, self._name, body, self._namespace, into=LeaseView)
        self._observed = Observed(written, self._clock.monotonic())
        return True

    def _body(self, old: LeaseView | None) -> dict[str, Any]:
        now = micro_timestamp(self._clock.now())
        ours = old is not None and old.spec.holder_identity == self._identity
        transitions = 0 if old is None else (old.spec.lease_transitions or 0) + (0 if ours else 1)
        metadata: dict[str, str] = {"name": self._name, "namespace": self._namespace}
        if old is not None:
            metadata["resourceVersion"] = old.metadata.resource_version
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._duration_s,
                "acquireTime": old.spec.acquire_time if old is not None and ours else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
