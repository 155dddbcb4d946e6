"""The Node object and its lease: made at start, kept up to date while the agent runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node_agent.node.describe import (
    Health,
    Machine,
    allocatable_of,
    capacity_of,
    conditions_of,
    images_of,
    labels_of,
    node_info,
)
from node_agent.node.machine import read_machine
from node_agent.runtime.base import ContainerRuntime, RuntimeInfo, RuntimeUnreachable
from orchestrator.api.objects import Object
from orchestrator.api.resources import LEASES, NODES
from orchestrator.api.views.agent import Node
from orchestrator.api.views.meta import LeaseView
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.client import MERGE_PATCH, STRATEGIC_PATCH, Client
from orchestrator.machinery.clock import Clock, micro_timestamp
from orchestrator.machinery.errors import AlreadyExists, ApiError, NotFound, Unreachable
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

_LEASE_NAMESPACE = "kube-node-lease"
_RETRY_S = 1.0
# Looked at this often, told when it changed or after the longer time: Kubernetes' figures.
_LOOK_S = 10.0
_TELL_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this node is."""

    name: str
    address: str
    port: int
    pods_max: int
    cpu_reserved: str
    memory_reserved: str
    labels: tuple[tuple[str, str], ...] = ()


class Registration:
    """The node's presence in the API. `health` is asked whenever the status is looked at."""

    def __init__(
        self,
        client: Client,
        runtime: ContainerRuntime,
        clock: Clock,
        files: BlockingCalls,
        *,
        identity: Identity,
        info: RuntimeInfo,
        disk: Path,
        health: Callable[[], Health],
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._clock = clock
        self._files = files
        self._identity = identity
        self._info = info
        self._disk = disk
        self._health = health
        self._changed = asyncio.Event()
        self._told: Object = {}
        self._told_at = float("-inf")
        self.labels = {**labels_of(identity.name, info), **dict(identity.labels)}
        capacity = capacity_of(info, read_machine(disk), pods_max=identity.pods_max)
        self.allocatable = allocatable_of(
            capacity, cpu_reserved=identity.cpu_reserved, memory_reserved=identity.memory_reserved
        )
        self._capacity = capacity

    def changed(self) -> None:
        """Something that the status shows has changed: look now."""
        self._changed.set()

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """An informer's news of Nodes, of which only our own is heard."""
        name = self._identity.name
        if new is not None and new.metadata.name == name:
            self._seen(new)
        elif new is None and old is not None and old.metadata.name == name:
            self._gone()

    def _gone(self) -> None:
        """Somebody deleted the Node: as long as the agent runs there is one, so it is made again."""
        self._told = {}
        self._changed.set()

    def _seen(self, node: Node) -> None:
        """The API's Node: where somebody else has spoken for us while we were silent, say it again at once."""
        if not self._told:
            return
        shown = {condition.type: (condition.status, condition.reason) for condition in node.status.conditions}
        ours = {one["type"]: (one["status"], one["reason"]) for one in self._told["conditions"]}
        if any(shown.get(kind) != said for kind, said in ours.items()):
            self._told_at = float("-inf")
            self._changed.set()

    async def run_status(self) -> None:
        """Register, and keep the status up to date, for ever."""
        while True:
            self._changed.clear()
            delay_s = _LOOK_S
            try:
                await self._tell()
            except NotFound:
                await self._register_again()
                continue
            except (ApiError, Unreachable) as refused:
                logger.warning("node.status.refused", why=str(refused)[:256])
                delay_s = _RETRY_S
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _register_again(self) -> None:
        try:
            await self._register()
        except (ApiError, Unreachable) as refused:
            logger.warning("node.register.refused", why=str(refused)[:256])
            await asyncio.sleep(_RETRY_S)

    async def _register(self) -> None:
        """Create the Node, or give an existing one our labels."""
        name = self._identity.name
        metadata: Object = {"name": name, "labels": self.labels}
        machine = await self._files.call(read_machine, self._disk)
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": metadata,
            "status": await self._status(machine, None),
        }
        self._told_at = float("-inf")
        try:
            await self._client.create(NODES, node, into=bytes)
            logger.info("node.registered", node=name)
        except AlreadyExists:
            body = {"metadata": {"labels": self.labels}}
            await self._client.patch(NODES, name, body, into=bytes, patch_type=MERGE_PATCH)

    async def _tell(self) -> None:
        """Write the status if it changed in anything but its heartbeat, or has not been told for long."""
        name = self._identity.name
        machine = await self._files.call(read_machine, self._disk)
        first = not self._told
        if not first:
            status = await self._status(machine, None)
            due = self._clock.monotonic() - self._told_at >= _TELL_S
            if not due and _without_times(status) == self._told:
                return
        node = await self._client.get(NODES, name, into=Node)
        if first and any(node.metadata.labels.get(key) != value for key, value in self.labels.items()):
            body = {"metadata": {"labels": self.labels}}
            await self._client.patch(NODES, name, body, into=bytes, patch_type=MERGE_PATCH)
        status = await self._status(machine, node)
        await self._client.patch(
            NODES, name, {"status": status}, into=bytes, subresource="status", patch_type=STRATEGIC_PATCH
        )
        self._told, self._told_at = _without_times(status), self._clock.monotonic()

    async def _status(self, machine: Machine, node: Node | None) -> Object:
        identity = self._identity
        status: Object = {
            "addresses": [
                {"type": "InternalIP", "address": identity.address},
                {"type": "Hostname", "address": identity.name},
            ],
            "capacity": self._capacity,
            "allocatable": self.allocatable,
            "conditions": conditions_of(
                self._health(), machine, () if node is None else node.status.conditions, self._clock.now()
            ),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": identity.port}},
            "nodeInfo": node_info(self._info, machine),
        }
        try:
            status["images"] = images_of(await self._runtime.images())
        except RuntimeUnreachable:
            status.pop("images", None)  # nothing is known of them, so nothing is said
        return status

    async def run_lease(self, *, every_s: float, duration_s: int) -> None:
        """Renew the node's lease, for ever."""
        known: LeaseView | None = None
        while True:
            started = self._clock.monotonic()
            try:
                known = await self._renew(known, duration_s)
            except (ApiError, Unreachable) as refused:
                logger.warning("node.lease.refused", why=str(refused)[:256])
                known = None
                await asyncio.sleep(_RETRY_S)
                continue
            await asyncio.sleep(max(0.1, every_s - (self._clock.monotonic() - started)))

    async def _renew(self, known: LeaseView | None, duration_s: int) -> LeaseView:
        name = self._identity.name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": duration_s,
            "renewTime": micro_timestamp(self._clock.now()),
        }
        if known is None:
            try:
                known = await self._client.get(LEASES, name, _LEASE_NAMESPACE, into=LeaseView)
            except NotFound:
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
                return await self._client.create(LEASES, {**body, "spec": spec}, _LEASE_NAMESPACE, into=LeaseView)
        return await self._client.patch(
            LEASES, name, {"spec": spec}, _LEASE_NAMESPACE, into=LeaseView, patch_type=MERGE_PATCH
        )


def _without_times(status: Object) -> Object:
    """What is compared: everything but the conditions' times."""
    conditions = [
        {key: value for key, value in one.items() if not key.startswith("last")} for one in status["conditions"]
    ]
    return {**status, "conditions": conditions}
