"""What a pod is told when no node will do: its condition and an event, written beside the placing, never in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import Counter

from orchestrator.api.resources import PODS
from orchestrator.api.views.meta import Condition, ObjectReference
from orchestrator.api.views.scheduling import PodView
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.clock import Clock, timestamp
from orchestrator.machinery.errors import ApiError, Conflict, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.machinery.worker import going_on

logger = get_logger(__name__)

# Pods whose condition waits to be written; more are dropped, and told at their next refusal.
_WAITING_MAX = 10_000
# Few enough to leave the API server to the bindings, which matter more.
_WRITERS = 4
# A pod that changes faster than the watch tells of it is told at its next refusal.
_CONFLICTS_MAX = 5
_CONFLICT_DELAY_S = 0.1

DROPPED = Counter("wherry_scheduling_conditions_dropped_total", "Refusals not written because too many waited.")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What to tell a pod, and how often that met a newer version of it."""

    key: str
    reason: str
    message: str
    conflicts: int = 0


class ConditionWriter:
    """Keeps the newest refusal of each pod until it is written. `run` never returns.

    `recorders` are those of the schedulers' names, for events. `newest` is the cache's view of a pod by its key. A
    refusal is written onto that version of the pod and no other, so a pod that is bound in the meantime is never told
    that it is not.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorders: Mapping[str, EventRecorder],
        newest: Callable[[str], PodView | None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._recorders = recorders
        self._newest = newest
        self._waiting: dict[str, _Refusal] = {}
        self._filled = asyncio.Event()

    def refused(self, pod: PodView, *, reason: str, message: str) -> None:
        """The pod has no node for this reason. Says nothing where the pod says so already."""
        uid = pod.metadata.uid
        if _is_told(pod, message):
            self._waiting.pop(uid, None)
            return
        if uid not in self._waiting and len(self._waiting) >= _WAITING_MAX:
            DROPPED.inc()
            return
        logger.info("pod.unschedulable", pod=pod.metadata.key, why=message)
        recorder = self._recorders[pod.spec.scheduler_name]
        recorder.event(reference_to(pod), type="Warning", reason="FailedScheduling", message=message)
        self._put(uid, _Refusal(pod.metadata.key, reason, message))

    async def run(self) -> None:
        """Write what waits, for ever."""
        async with asyncio.TaskGroup() as group:
            for number in range(_WRITERS):
                group.create_task(self._write_forever(), name=f"conditions-{number}")

    def _put(self, uid: str, refusal: _Refusal) -> None:
        self._waiting[uid] = refusal
        self._filled.set()

    async def _write_forever(self) -> None:
        while True:
            if not self._waiting:
                self._filled.clear()
                await self._filled.wait()
                continue
            uid = next(iter(self._waiting))
            refusal = self._waiting.pop(uid)
            with going_on("pod.condition_failed", key=refusal.key):
                await self._write(uid, refusal)

    async def _write(self, uid: str, refusal: _Refusal) -> None:
        pod = self._newest(refusal.key)
        if pod is None or pod.metadata.uid != uid or pod.spec.node_name or _is_told(pod, refusal.message):
            return
        meta = pod.metadata
        body = {
            "metadata": {"uid": uid, "resourceVersion": meta.resource_version},
            "status": {"conditions": [_condition(_scheduled(pod), refusal, self._clock.now())]},
        }
        try:
            await self._client.patch(
                PODS, meta.name, body, meta.namespace, into=bytes, subresource="status", patch_type=STRATEGIC_PATCH
            )
        except Conflict as newer:
            # Changed since we looked: the watch brings the newer one, on which this may be true as well.
            logger.debug("pod.status_not_written", pod=meta.key, why=str(newer)[:256])
            if refusal.conflicts < _CONFLICTS_MAX and uid not in self._waiting:
                await asyncio.sleep(_CONFLICT_DELAY_S)
                if uid not in self._waiting:
                    self._put(uid, replace(refusal, conflicts=refusal.conflicts + 1))
        except (ApiError, Unreachable) as refused:
            logger.debug("pod.status_not_written", pod=meta.key, why=str(refused)[:256])


def reference_to(pod: PodView) -> ObjectReference:
    """What an event about the pod refers to."""
    meta = pod.metadata
    return ObjectReference(api_version="v1", kind="Pod", name=meta.name, namespace=meta.namespace, uid=meta.uid)


def _scheduled(pod: PodView) -> Condition | None:
    return next((condition for condition in pod.status.conditions if condition.type == "PodScheduled"), None)


def _is_told(pod: PodView, message: str) -> bool:
    old = _scheduled(pod)
    return old is not None and old.status == "False" and old.message == message


def _condition(old: Condition | None, refusal: _Refusal, now: float) -> dict[str, Any]:
    kept = old is not None and old.status == "False" and old.last_transition_time
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": refusal.reason,
        "message": refusal.message,
        "lastTransitionTime": kept or timestamp(now),
    }
