"""Pulling images: one pull of an image at a time however many pods want it, few at once, backing off after failures.

Nothing here blocks a pod: `want` says how far the image is, and the pod is woken when that changes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node_agent.images.credentials import credentials_for
from node_agent.pods.observed import Pull, PullPhase
from node_agent.runtime.base import ContainerRuntime, Image, NoSuchImage, RuntimeRefused, RuntimeUnreachable
from orchestrator.api.views.configuration import Secret
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Kubernetes' figures for a failing image.
BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
_PULLS_AT_ONCE = 4
_FAILURES_REMEMBERED_MAX = 1_000
_UNREACHABLE_RETRY_S = 2.0
_SHOWN_FAILED_S = 2.0
_REFERENCE = re.compile(
    r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A container's wish for an image. `told` gets the events: type, reason, message."""

    image: str
    policy: str
    secrets: Sequence[Secret] = ()
    told: Callable[[str, str, str], None] = field(compare=False, default=lambda *_: None)
    woken: Callable[[], None] = field(compare=False, default=lambda: None)


@dataclass(slots=True)
class _Backoff:
    delay_s: float
    retry_at: float
    message: str


class ImagePulls:
    """All pulls of this node. `run` must run."""

    def __init__(self, runtime: ContainerRuntime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._slots = asyncio.Semaphore(_PULLS_AT_ONCE)
        self._running: dict[str, list[tuple[Request, float]]] = {}
        self._backoffs: dict[str, _Backoff] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()  # one entry an image at most: `_running` says so

    async def run(self) -> None:
        """Do the pulls that are asked for, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                image = await self._wanted.get()
                group.create_task(self._pull(image), name=f"pull-{image}")

    async def want(self, request: Request) -> tuple[Pull, Image | None]:
        """How far the image is; begins a pull if it is needed and may begin now."""
        if not _REFERENCE.match(request.image):
            message = f'Failed to apply default image tag "{request.image}": invalid reference format'
            request.told("Warning", "InspectFailed", message)
            return Pull(phase=PullPhase.INVALID, message=message, retry_at=self._clock.now() + BACKOFF_MAX_S), None
        if request.image in self._running:
            self._join(request)
            return Pull(phase=PullPhase.PULLING), None
        if request.policy != "Always":
            present = await self._present(request)
            if present is not None:
                return present
        backoff = self._backoffs.get(request.image)
        now = self._clock.now()
        if backoff is not None and now < backoff.retry_at:
            request.told("Normal", "BackOff", f'Back-off pulling image "{request.image}"')
            request.told("Warning", "Failed", "Error: ImagePullBackOff")
            message = f'Back-off pulling image "{request.image}": ErrImagePull: {backoff.message}'
            return Pull(phase=PullPhase.BACKING_OFF, message=message, retry_at=backoff.retry_at), None
        self._join(request)
        return Pull(phase=PullPhase.PULLING), None

    async def _present(self, request: Request) -> tuple[Pull, Image | None] | None:
        try:
            image = await self._runtime.image(request.image)
        except NoSuchImage:
            if request.policy != "Never":
                return None
            message = f'Container image "{request.image}" is not present with pull policy of Never'
            request.told("Warning", "ErrImageNeverPull", message)
            retry_at = self._clock.now() + BACKOFF_FIRST_S
            return Pull(phase=PullPhase.NEVER, message=message, retry_at=retry_at), None
        request.told("Normal", "Pulled", f'Container image "{request.image}" already present on machine')
        self._backoffs.pop(request.image, None)
        return Pull(phase=PullPhase.PRESENT), image

    def _join(self, request: Request) -> None:
        waiting = self._running.get(request.image)
        entry = (request, self._clock.monotonic())
        if waiting is None:
            self._running[request.image] = [entry]
            self._wanted.put_nowait(request.image)
        else:
            waiting.append(entry)
        request.told("Normal", "Pulling", f'Pulling image "{request.image}"')

    async def _pull(self, image: str) -> None:
        async with self._slots:
            started = self._clock.monotonic()
            first = self._running[image][0][0]
            try:
                pulled = await self._runtime.pull(image, credentials_for(image, first.secrets))
            except RuntimeRefused as refused:
                self._failed(image, str(refused))
                return
            except (RuntimeUnreachable, NoSuchImage) as lost:
                logger.warning("image.pull.lost", image=image, why=str(lost)[:256])
                self._backoffs[image] = _Backoff(
                    _UNREACHABLE_RETRY_S, self._clock.now() + _UNREACHABLE_RETRY_S, str(lost)[:256]
                )
                self._end(image)
                return
        self._backoffs.pop(image, None)
        took = self._clock.monotonic() - started
        ended = self._clock.monotonic()
        for request, since in self._end(image):
            waited = _seconds(ended - since)
            request.told(
                "Normal",
                "Pulled",
                f'Successfully pulled image "{image}" in {_seconds(took)} ({waited} including waiting). '
                f"Image size: {pulled.size_bytes} bytes.",
            )

    def _failed(self, image: str, why: str) -> None:
        before = self._backoffs.pop(image, None)
        delay_s = BACKOFF_FIRST_S if before is None else min(BACKOFF_MAX_S, before.delay_s * 2)
        while len(self._backoffs) >= _FAILURES_REMEMBERED_MAX:
            del self._backoffs[next(iter(self._backoffs))]
        self._backoffs[image] = _Backoff(delay_s, self._clock.now() + delay_s, why)
        for request, _ in self._end(image):
            request.told("Warning", "Failed", f'Failed to pull image "{image}": {why}')
            request.told("Warning", "Failed", "Error: ErrImagePull")

    def _end(self, image: str) -> list[tuple[Request, float]]:
        waiting = self._running.pop(image)
        for request, _ in waiting:
            request.woken()
        return waiting

    def outcome(self, image: str) -> Pull | None:
        """What became of the last pull: None while it runs or if it went well."""
        backoff = self._backoffs.get(image)
        if backoff is None or image in self._running:
            return None
        # Shown as failed for a moment; asking again then says that it is backed off.
        retry_at = min(backoff.retry_at, self._clock.now() + _SHOWN_FAILED_S)
        return Pull(phase=PullPhase.FAILED, message=backoff.message, retry_at=retry_at)

    def is_running(self, image: str) -> bool:
        """Whether the image is being pulled or waits for its turn."""
        return image in self._running


def policy_of(image: str, given: str) -> str:
    """The pull policy: as given, else Always for `latest` and IfNotPresent for everything else."""
    if given:
        return given
    name = image.rpartition("/")[2]
    return "Always" if ("@" not in image and (":" not in name or name.endswith(":latest"))) else "IfNotPresent"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:.3f}".rstrip("0").rstrip(".") + "s"
