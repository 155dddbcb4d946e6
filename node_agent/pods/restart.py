"""Whether and when an ended container is started again."""

from __future__ import annotations

from node_agent.pods.labels import Seen
from orchestrator.api.views.pods import Container

# Kubernetes' figures: ten seconds doubling to five minutes, forgotten after ten minutes without a crash.
BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
BACKOFF_FORGOTTEN_S = 600.0


def should_restart(policy: str, exit_code: int) -> bool:
    """Whether a container of that restart policy runs again after that exit code."""
    match policy:
        case "Never":
            return False
        case "OnFailure":
            return exit_code != 0
    return True


def is_sidecar(container: Container) -> bool:
    """Whether an init container stays beside the regular ones."""
    return container.restart_policy == "Always"


def restart_at(ended: Seen) -> float:
    """The earliest moment of its next start."""
    if _was_long_lived(ended):
        return ended.state.finished_at
    return ended.state.finished_at + ended.backoff_s


def backoff_after(previous: Seen | None) -> float:
    """The back-off to write on the container that follows `previous`, for when that one ends in its turn.

    The first container has none: its first restart is immediate, the second waits ten seconds.
    """
    if previous is None:
        return 0.0
    if previous.backoff_s == 0.0 or _was_long_lived(previous):
        return BACKOFF_FIRST_S
    return min(BACKOFF_MAX_S, previous.backoff_s * 2)


def _was_long_lived(ended: Seen) -> bool:
    state = ended.state
    return state.started_at > 0 and state.finished_at - state.started_at >= BACKOFF_FORGOTTEN_S
