"""Leader election by Lease, so that of several control planes one acts.

The protocol is client-go's `leaderelection`: a lease counts as expired when *we* have not seen it change for its
duration, so clocks of different machines are never compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.api.resources import LEASES
from orchestrator.api.views.meta import LeaseView
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, micro_timestamp
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import LEADER

logger = get_logger(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time: somebody else may lead, so stop at once and start over."""


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
    """Competes for one lease. `identity` is stable for a machine, so that a restarted process takes over at once."""

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
        self._client = client
        self._clock = clock
        self._name, self._namespace, self._identity = name, namespace, identity
        self._duration_s, self._renew_every_s, self._give_up_after_s = duration_s, renew_every_s, give_up_after_s
        self._observed: Observed | None = None

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait until we lead, run `lead`, and keep renewing beside it; raises `LeadershipLost` if that fails."""
        await self._wait_acquired()
        logger.info("leader.acquired", lease=self._name, identity=self._identity)
        LEADER.labels(self._name).set(1)
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._keep_renewing(), name=f"{self._name}-renew")
                await lead()
                renewing.cancel()
        finally:
            LEADER.labels(self._name).set(0)

    async def _wait_acquired(self) -> None:
        while True:
            if await self._try_acquire():
                return
            await asyncio.sleep(self._renew_every_s)

    async def _keep_renewing(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            await asyncio.sleep(self._renew_every_s)
            if await self._try_acquire():
                renewed = self._clock.monotonic()
            elif self._clock.monotonic() - renewed > self._give_up_after_s:
                raise LeadershipLost(f"cannot renew lease '{self._name}' for {self._give_up_after_s:.0f} s")

    async def _try_acquire(self) -> bool:
        try:
            async with asyncio.timeout(self._give_up_after_s / 2):
                return await self._acquire()
        except (Conflict, AlreadyExists):
            return False
        except (ApiError, Unreachable, TimeoutError) as refused:
            logger.warning("leader.refused", lease=self._name, why=str(refused)[:256])
            return False

    async def _acquire(self) -> bool:
        now_s = self._clock.monotonic()
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace, into=LeaseView)
        except NotFound:
            created = await self._client.create(LEASES, self._body(None), self._namespace, into=LeaseView)
            self._observed = Observed(created, now_s)
            return True
        if self._observed is None or self._observed.lease.spec != lease.spec:
            self._observed = Observed(lease, now_s)
        if not may_acquire(self._observed, identity=self._identity, now_s=now_s):
            return False
        body = self._body(lease)
        written = await self._client.update(LEASES, self._name, body, self._namespace, into=LeaseView)
        self._observed = Observed(written, now_s)
        return True

    def _body(self, old: LeaseView | None) -> dict[str, object]:
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
