"""Binding, beside the placing of the next pods: permit, then bind. So many at once, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.api.resources import PODS
from orchestrator.api.views.scheduling import PodView
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.worker import going_on
from orchestrator.scheduler.profile import Profile
from orchestrator.scheduler.request import PodRequest

logger = get_logger(__name__)

# Bindings under way at once: enough to keep the API server busy while the next pods are placed.
_BINDINGS_MAX = 32
# Pods that wait for a permit: they hold their room, so there is an end to it.
_PERMITS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Reserved:
    """A pod whose node is picked and whose room there is counted."""

    pod: PodView
    request: PodRequest
    node: str
    profile: Profile


Settled = Callable[[Reserved, bool], None]


class BindingPipeline:
    """Binds what is reserved, and tells `settled` of each whether the API server said yes.

    Without its yes the pod may be bound all the same, by us or by others: that is for the watch to tell.
    """

    def __init__(self, client: Client, group: asyncio.TaskGroup, settled: Settled) -> None:
        self._client = client
        self._group = group
        self._settled = settled
        self._bindings = asyncio.Semaphore(_BINDINGS_MAX)
        self._waiting = asyncio.Semaphore(_PERMITS_MAX)

    async def start(self, reserved: Reserved) -> None:
        """Begin to bind; waits where too many are under way already."""
        gate = self._waiting if reserved.profile.permits else self._bindings
        await gate.acquire()
        self._group.create_task(self._carry_out(reserved, gate), name=f"bind-{reserved.pod.metadata.key}")

    async def _carry_out(self, reserved: Reserved, gate: asyncio.Semaphore) -> None:
        is_bound = False
        try:
            with going_on("pod.binding_failed", key=reserved.pod.metadata.key):
                is_bound = await self._permit(reserved) and await self._bind(reserved)
        finally:
            gate.release()
        with going_on("pod.settling_failed", key=reserved.pod.metadata.key):
            self._settled(reserved, is_bound)

    async def _permit(self, reserved: Reserved) -> bool:
        for plugin in reserved.profile.permits:
            if not await plugin.permit(reserved.request, reserved.node):
                logger.info("pod.not_permitted", pod=reserved.pod.metadata.key, node=reserved.node, plugin=plugin.name)
                return False
        return True

    async def _bind(self, reserved: Reserved) -> bool:
        meta, body = reserved.pod.metadata, _binding(reserved.pod, reserved.node)
        try:
            await self._client.create(PODS, body, meta.namespace, into=bytes, name=meta.name, subresource="binding")
        except Unreachable as lost:
            is_bound = await self._is_bound_after_all(reserved)
            logger.warning("pod.binding_unknown", pod=meta.key, node=reserved.node, why=str(lost)[:256], bound=is_bound)
            return is_bound
        except ApiError as refused:
            logger.warning("pod.not_bound", pod=meta.key, node=reserved.node, why=str(refused)[:256])
            return False
        return True

    async def _is_bound_after_all(self, reserved: Reserved) -> bool:
        """Ask, since the write may have happened: until the watch tells, others would get the pod's room."""
        meta = reserved.pod.metadata
        try:
            newest = await self._client.get(PODS, meta.name, meta.namespace, into=PodView)
        except (ApiError, Unreachable):
            return False
        return newest.metadata.uid == meta.uid and newest.spec.node_name == reserved.node


def _binding(pod: PodView, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
