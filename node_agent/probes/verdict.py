"""From answers to verdicts: how many in a row it takes; pure."""

from __future__ import annotations

from dataclasses import dataclass

from node_agent.pods.observed import Health
from orchestrator.api.views.pods import Container, Probe


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe has said so far. `passing` is None before enough answers have come."""

    passing: bool | None = None
    last: bool | None = None
    in_a_row: int = 0


def after(probe: Probe, verdict: Verdict, answer: bool) -> Verdict:
    """The verdict after one more answer: it changes once `answer` has come often enough in a row."""
    in_a_row = verdict.in_a_row + 1 if verdict.last is answer else 1
    needed = probe.success_threshold if answer else probe.failure_threshold
    passing = answer if in_a_row >= needed else verdict.passing
    # A row longer than its threshold says nothing more.
    return Verdict(passing, answer, min(in_a_row, max(needed, 1)))


def health(container: Container, *, startup: Verdict, readiness: Verdict, liveness: Verdict) -> Health:
    """What all verdicts together say of a running container."""
    started = container.startup_probe is None or startup.passing is True
    ready = started and (container.readiness_probe is None or readiness.passing is True)
    if container.startup_probe is not None and startup.passing is False:
        return Health(
            started=False,
            ready=False,
            live=False,
            why=f"Container {container.name} failed startup probe, will be restarted",
            grace_s=_grace_s(container.startup_probe),
        )
    if container.liveness_probe is not None and liveness.passing is False:
        return Health(
            started=started,
            ready=ready,
            live=False,
            why=f"Container {container.name} failed liveness probe, will be restarted",
            grace_s=_grace_s(container.liveness_probe),
        )
    return Health(started=started, ready=ready)


def _grace_s(probe: Probe) -> float | None:
    given = probe.termination_grace_period_seconds
    return None if given is None else float(given)
