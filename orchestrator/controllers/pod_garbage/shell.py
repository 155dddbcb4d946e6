"""Carries out the removal of pods that nobody looks after."""

from __future__ import annotations

from orchestrator.api.resources import NODES, PODS
from orchestrator.api.views.cluster import Node
from orchestrator.api.views.meta import Condition, MetaView
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.batches import InTurn
from orchestrator.controllers.context import Context
from orchestrator.controllers.moments import text_of
from orchestrator.controllers.pod_garbage.decide import decide
from orchestrator.machinery.client import STRATEGIC_PATCH
from orchestrator.machinery.errors import Conflict, NotFound
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

_EVERYTHING = "pods"
#: Kubernetes' period for this; besides, the departure of a node asks for a look.
_PERIOD_S = 20.0


class PodGarbageController:
    """Deletes by force what no node agent will ever report the end of."""

    name = "pod-garbage"

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._config = context.client, context.clock, context.config
        self._informers = context.informers
        self._nodes, self._pods = context.informers.nodes, context.informers.pods
        self._queue = WorkQueue()
        self._missing_since: dict[str, float] = {}
        self._nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        self._queue.add(_EVERYTHING)
        await work(self.name, self._queue, self.sync, clock=self._clock)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            self._queue.add(_EVERYTHING)

    async def sync(self, key: str) -> None:
        """One look at all pods."""
        nodes = {node.metadata.name for node in self._nodes.values()}
        now_s = self._clock.monotonic()
        decision = decide(
            tuple(self._pods.values()),
            nodes,
            self._missing_since,
            quarantine_s=self._config.orphan_quarantine_s,
            finished_max=self._config.terminated_pods_max,
            now=now_s,
        )
        self._missing_since = {name: self._missing_since.get(name, now_s) for name in decision.missing}
        in_turn, gone = InTurn(), set()
        for name in sorted({pod.spec.node_name for pod in decision.orphaned}):
            with in_turn.each():
                if await self._is_really_gone(name):
                    gone.add(name)
        orphaned = [pod for pod in decision.orphaned if pod.spec.node_name in gone]
        for pods, why, failed in (
            (orphaned, "its node is gone", True),
            (decision.unscheduled, "it ended before it had a node", False),
            (decision.finished, "too many finished pods", False),
        ):
            for pod in pods:
                with in_turn.each():
                    await self._remove(pod, why, failed=failed)
        self._queue.add_after(_EVERYTHING, self._next_look_s(now_s))
        in_turn.end()

    def _next_look_s(self, now_s: float) -> float:
        ends = [since + self._config.orphan_quarantine_s - now_s for since in self._missing_since.values()]
        return min([_PERIOD_S, *(max(end, 0.1) for end in ends if end > 0)])

    async def _is_really_gone(self, name: str) -> bool:
        try:
            await self._client.get(NODES, name, into=MetaView)
        except NotFound:
            return True
        return False

    async def _remove(self, pod: Pod, why: str, *, failed: bool) -> None:
        meta = pod.metadata
        logger.info("pod.remove", pod=meta.key, why=why)
        try:
            if failed and not pod.is_finished:
                condition = Condition(
                    type="DisruptionTarget",
                    status="True",
                    reason="DeletionByPodGC",
                    message="PodGC: node no longer exists",
                    last_transition_time=text_of(self._clock.now()),
                )
                status = {"phase": "Failed", "conditions": [condition]}
                await self._client.patch(
                    PODS,
                    meta.name,
                    {"metadata": {"uid": meta.uid}, "status": status},
                    meta.namespace,
                    into=MetaView,
                    subresource="status",
                    patch_type=STRATEGIC_PATCH,
                )
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid, grace_s=0)
        except (NotFound, Conflict):
            return  # gone, or a namesake took its place
