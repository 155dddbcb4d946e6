"""Stopping one container: its preStop hook, its stop signal, its grace, then SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from node_agent.probes.ask import Asker, Target
from node_agent.racing import first_of
from node_agent.runtime.base import ContainerRuntime, NoSuchContainer, Phase
from node_agent.runtime.watching import ContainerWatch
from orchestrator.api.views.pods import Container
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# A hook that used the whole grace up leaves the process this long to react to the signal, as in Kubernetes.
_AFTER_HOOK_S = 2.0
_AFTER_KILL_S = 10.0


class Stopping:
    """One container on its way out. `shorten` may be called while `run` runs."""

    def __init__(
        self, runtime: ContainerRuntime, watch: ContainerWatch, clock: Clock, *, container_id: str, grace_s: float
    ) -> None:
        self._runtime = runtime
        self._watch = watch
        self._clock = clock
        self._id = container_id
        self._begun = clock.monotonic()
        self._deadline = self._begun + grace_s
        self._shortened = asyncio.Event()

    def shorten(self, grace_s: float) -> None:
        """The grace is `grace_s` from the beginning, if that is less than it was."""
        deadline = self._begun + grace_s
        if deadline < self._deadline:
            self._deadline = deadline
            self._shortened.set()

    async def run(
        self, container: Container | None, asker: Asker, address: str, told: Callable[[str, str, str], None]
    ) -> None:
        """Stop it; returns when it has ended. Raises RuntimeUnreachable."""
        if container is not None and self._left() > 0:
            await self._pre_stop(container, asker, address, told)
        state = self._watch.get(self._id)
        with suppress(NoSuchContainer):
            if self._left() > 0 and state is not None:
                await self._runtime.kill(self._id, signal=state.stop_signal)
                if await self._ends_by_itself():
                    return
            while True:
                await self._runtime.kill(self._id, signal="SIGKILL")
                if await self._watch.wait_ended(self._id, _AFTER_KILL_S):
                    return
                logger.warning("container.kill.slow", container=self._id)
                await self._watch.look(self._id)
        await self._watch.look(self._id)

    async def _pre_stop(
        self, container: Container, asker: Asker, address: str, told: Callable[[str, str, str], None]
    ) -> None:
        hook = container.lifecycle.pre_stop if container.lifecycle is not None else None
        if hook is None:
            return
        target = Target(container=container, container_id=self._id, address=address)

        async def run() -> None:
            answer = await asker.hook(hook, target, self._left())
            if not answer.well:
                told("Warning", "FailedPreStopHook", f"PreStopHook failed: {answer.text}"[:1024])

        await first_of(("pre-stop", run()), ("shortened", self._shortened.wait()))
        if not self._shortened.is_set():
            self._deadline = max(self._deadline, self._clock.monotonic() + _AFTER_HOOK_S)

    async def _ends_by_itself(self) -> bool:
        """Wait for its end until the deadline, which may come nearer meanwhile."""
        while (left := self._left()) > 0:
            self._shortened.clear()
            await first_of(("ending", self._watch.wait_ended(self._id, left)), ("shortened", self._shortened.wait()))
            state = self._watch.get(self._id)
            if state is None or state.phase is not Phase.RUNNING:
                return True
        # An event may have been lost: look before killing.
        state = await self._watch.look(self._id)
        return state is None or state.phase is not Phase.RUNNING

    def _left(self) -> float:
        return self._deadline - self._clock.monotonic()
