"""One task for each pod of this node; whatever goes wrong in one is logged, and tried again after a while."""

from __future__ import annotations

import asyncio

from node_agent import metrics
from node_agent.pods import labels
from node_agent.pods.admission import refusal
from node_agent.pods.context import PodContext
from node_agent.pods.facts import ConfigProblem
from node_agent.pods.references import needs_refresh
from node_agent.pods.shell import PodShell
from node_agent.runtime.base import ContainerState, RuntimeUnreachable
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.backoff import Backoff
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

_BACKOFF = Backoff(first_s=0.2, limit_s=30.0)
# Who was cared for this long without a failure begins with the shortest delay again.
_HEALTHY_S = 60.0
# Kubernetes' rhythm for files that follow ConfigMaps, Secrets and tokens.
_REFRESH_S = 60.0


class PodWorkers:
    """All pods of this node. `run` must run; pods come from the informer."""

    def __init__(
        self,
        context: PodContext,
        pods: Informer[Pod],
        *,
        node_labels: dict[str, str],
        allocatable: dict[str, str],
    ) -> None:
        self._context = context
        self._pods = pods
        self._node_labels = node_labels
        self._allocatable = allocatable
        self._shells: dict[str, PodShell] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take care of all pods, for ever."""
        context = self._context
        context.watch.subscribe(self._container_changed)
        await context.watch.wait_synced()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._pods.subscribe(self._pod_changed)
            await self._refresh_for_ever()

    @property
    def uids(self) -> frozenset[str]:
        """The pods that are being taken care of."""
        return frozenset(self._shells)

    def shells(self) -> tuple[PodShell, ...]:
        """All of them."""
        return tuple(self._shells.values())

    def find(self, namespace: str, name: str) -> PodShell | None:
        """The pod of that name; of namesakes the one that the API knows."""
        found = [
            shell
            for shell in self._shells.values()
            if shell.pod.metadata.name == name and shell.pod.metadata.namespace == namespace
        ]
        return min(found, key=lambda shell: shell.is_gone, default=None)

    # --- what happens ---

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            shell = self._shells.get(old.metadata.uid)
            if shell is not None:
                shell.vanish()
        if new is None:
            return
        uid = new.metadata.uid
        shell = self._shells.get(uid)
        if shell is not None:
            shell.update(new)
            return
        assert self._group is not None
        self._shells[uid] = PodShell(self._context, new, refused=self._refusal(new))
        metrics.PODS_HERE.set(len(self._shells))
        self._group.create_task(self._care_for(uid), name=f"pod-{new.metadata.key}")

    def _container_changed(self, old: ContainerState | None, new: ContainerState | None) -> None:
        state = new or old
        assert state is not None
        shell = self._shells.get(state.labels.get(labels.POD_UID, ""))
        if shell is not None:
            shell.wake()

    def _refusal(self, pod: Pod) -> tuple[str, str] | None:
        """Whether the node refuses the pod; one that has containers here was taken before."""
        if pod.is_terminal or pod.metadata.deletion_timestamp is not None:
            return None
        if self._context.watch.grouped(pod.metadata.uid):
            return None
        others = [
            shell.pod
            for shell in self._shells.values()
            if shell.refused is None and shell.status.get("phase") not in ("Succeeded", "Failed") and not shell.is_gone
        ]
        return refusal(pod, others, node_labels=self._node_labels, allocatable=self._allocatable)

    # --- tasks ---

    async def _care_for(self, uid: str) -> None:
        shell = self._shells[uid]
        failures = 0
        while True:
            began = self._context.clock.monotonic()
            try:
                await shell.run()
                break
            except* (RuntimeUnreachable, Unreachable, ApiError) as lost:
                why = str(lost.exceptions[0])[:256]
                logger.warning("pod.interrupted", pod=shell.pod.metadata.key, why=why)
            except* Exception:
                metrics.POD_FAILURES.inc()
                logger.exception("pod.failed", pod=shell.pod.metadata.key)
            lasted_s = self._context.clock.monotonic() - began
            failures = 1 if lasted_s > _HEALTHY_S else failures + 1
            await asyncio.sleep(_BACKOFF.delay_s(failures))
        del self._shells[uid]
        metrics.PODS_HERE.set(len(self._shells))

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            for uid in needs_refresh(shell.pod for shell in self._shells.values() if shell.volumes is not None):
                shell = self._shells.get(uid)
                if shell is None or shell.is_gone:
                    continue
                try:
                    await shell.refresh_files()
                except (ConfigProblem, OSError) as problem:
                    logger.info("pod.refresh.failed", pod=shell.pod.metadata.key, why=str(problem)[:256])
