"""The probes of one running container: each in its rhythm, the verdicts together its health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from node_agent.pods.observed import Health
from node_agent.probes.ask import Answer, Asker, Target
from node_agent.probes.verdict import Verdict, after, health
from node_agent.runtime.base import RuntimeUnreachable
from orchestrator.api.views.pods import Probe

# type, reason, message
Told = Callable[[str, str, str], None]


class Probing:
    """Asks one container until cancelled. `changed` is called whenever its health changes.

    `was_started` and `was_ready` are what was last said of this very container: it stays so until it is asked, or every
    start of the agent would take all pods out of their services for a moment.
    """

    def __init__(
        self,
        asker: Asker,
        target: Target,
        *,
        changed: Callable[[], None],
        told: Told,
        was_started: bool = False,
        was_ready: bool = False,
    ) -> None:
        self._asker = asker
        self._target = target
        self._changed = changed
        self._told = told
        self._verdicts = {
            "Startup": Verdict(True if was_started else None),
            "Readiness": Verdict(True if was_ready else None),
            "Liveness": Verdict(),
        }
        self._started = asyncio.Event()
        self.health = self._judge()
        if self.health.started:
            self._started.set()

    def _judge(self) -> Health:
        verdicts = self._verdicts
        return health(
            self._target.container,
            startup=verdicts["Startup"],
            readiness=verdicts["Readiness"],
            liveness=verdicts["Liveness"],
        )

    async def run(self) -> None:
        """Ask for as long as the container runs; the caller cancels."""
        container = self._target.container
        async with asyncio.TaskGroup() as group:
            for kind, probe in (
                ("Startup", container.startup_probe),
                ("Readiness", container.readiness_probe),
                ("Liveness", container.liveness_probe),
            ):
                if probe is not None:
                    group.create_task(self._ask_on(kind, probe), name=f"probe-{container.name}-{kind}")

    async def _ask_on(self, kind: str, probe: Probe) -> None:
        if kind == "Startup" and self._started.is_set():
            return
        await asyncio.sleep(probe.initial_delay_seconds)
        if kind != "Startup":
            await self._started.wait()
        while True:
            try:
                answer = await self._asker.ask(probe, self._target)
            except RuntimeUnreachable:
                # Nobody was asked, so nothing was answered.
                await asyncio.sleep(float(max(probe.period_seconds, 1)))
                continue
            self._heard(kind, probe, answer)
            if kind == "Startup" and self.health.started:
                self._started.set()
                return
            await asyncio.sleep(self._pause_s(kind, probe, answer))

    def _pause_s(self, kind: str, probe: Probe, answer: Answer) -> float:
        """Until the next question. One that has never been ready is asked more often, so that it is used at once."""
        period_s = float(max(probe.period_seconds, 1))
        if kind == "Readiness" and not answer.well and self._verdicts[kind].passing is None:
            return min(period_s, 1.0)
        return period_s

    def _heard(self, kind: str, probe: Probe, answer: Answer) -> None:
        if not answer.well:
            self._told("Warning", "Unhealthy", f"{kind} probe failed: {answer.text}")
        self._verdicts[kind] = after(probe, self._verdicts[kind], answer.well)
        judged = self._judge()
        if judged != self.health:
            self.health = judged
            self._changed()
