"""When a process that ended is started again: a pure decision."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from orchestrator.machinery.backoff import Backoff

_BACKOFF = Backoff(first_s=0.2, limit_s=10.0)
_HEALTHY_AFTER_S = 30.0  # who ran this long did start: the next failure counts as the first one


@dataclass(frozen=True, slots=True)
class Restart:
    """Start again after `delay_s`; `failures` is to be handed in at the next end."""

    delay_s: float
    failures: int


def after_exit(exit_code: int, *, ran_s: float, failures: int) -> Restart:
    """What to do after a process ended. `exit_code` is negative for a signal, as `os.waitstatus_to_exitcode` gives it.

    A process killed from outside is no failing process: it is started at once.
    """
    if exit_code == -signal.SIGKILL:
        return Restart(0.0, 0)
    if ran_s >= _HEALTHY_AFTER_S:
        failures = 0
    return Restart(_BACKOFF.delay_s(failures + 1), failures + 1)
