"""Statuses on their way to the API: the newest of each pod, at once if none is under way, retried until it is there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS
from orchestrator.api.views.meta import MetaView
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.backoff import Backoff
from orchestrator.machinery.client import MERGE_PATCH, Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import Conflict, NotFound
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

_WRITERS = 4


@dataclass(frozen=True, slots=True)
class _Wanted:
    pod: Pod
    status: Object
    done: Callable[[], None]


class StatusReporter:
    """Writes pods' statuses. One entry a pod, so it is bounded by their number."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._queue = WorkQueue()
        self._wanted: dict[str, _Wanted] = {}
        self._acknowledged: dict[str, Object] = {}
        self._revisions: dict[str, int] = {}

    async def run(self) -> None:
        """Write what is submitted, for ever."""
        backoff = Backoff(first_s=0.1, limit_s=5.0)
        await work("pod-status", self._queue, self._write, clock=self._clock, concurrency=_WRITERS, backoff=backoff)

    def submit(self, pod: Pod, status: Object, done: Callable[[], None]) -> None:
        """Have this status written, in place of an older one that waits; `done` is called when the API has it."""
        uid = pod.metadata.uid
        if self._acknowledged.get(uid) == status:
            self._wanted.pop(uid, None)
            return
        self._wanted[uid] = _Wanted(pod, status, done)
        self._queue.add(uid)

    def is_acknowledged(self, uid: str, status: Object) -> bool:
        """Whether the API has exactly this status."""
        return self._acknowledged.get(uid) == status

    def overwritten(self, pod: Pod) -> None:
        """The API's `pod` does not say what we reported: report again, unless it is only older than our report."""
        uid = pod.metadata.uid
        if pod.metadata.revision > self._revisions.get(uid, 0):
            self._acknowledged.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._wanted.pop(uid, None)
        self._acknowledged.pop(uid, None)
        self._revisions.pop(uid, None)

    async def take_off(self, pod: Pod) -> None:
        """Delete the pod, with no grace: everything of it has ended. Success if it is gone."""
        meta = pod.metadata
        with suppress(NotFound, Conflict):
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid, grace_s=0)

    async def _write(self, uid: str) -> None:
        wanted = self._wanted.get(uid)
        if wanted is None:
            return
        meta = wanted.pod.metadata
        # The uid keeps a namesake from getting this status.
        body = {"metadata": {"uid": meta.uid}, "status": wanted.status}
        revision = 0
        with suppress(NotFound, Conflict):
            written = await self._client.patch(
                PODS, meta.name, body, meta.namespace, into=MetaView, subresource="status", patch_type=MERGE_PATCH
            )
            revision = written.metadata.revision
        if uid not in self._wanted:
            return  # forgotten meanwhile
        self._revisions[uid] = revision
        self._acknowledged[uid] = wanted.status
        if self._wanted.get(uid) is wanted:
            del self._wanted[uid]
        wanted.done()
