"""`wherry-orchestrator`: starts the control plane's processes, watches them, and starts again whichever ends.

It is plain synchronous code without heavy imports: it must be small, and still be there when everything else is not.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config import BadConfig, Config, load
from orchestrator.machinery.clock import Clock, SystemClock, timestamp
from orchestrator.machinery.restarts import after_exit
from orchestrator.machinery.systemd import STOPPING, notify

PROGRAM = "wherry-orchestrator"
PROCESSES = ("api-server", "controllers", "scheduler")
SERVE_MODULE = "orchestrator.serve"
EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: starting again would not help
PARENT_VARIABLE = "WHERRY_PARENT"
"""Tells a process who started it: by the time it looks for itself, that one may have been killed."""
_GRACE_S = 10.0
_OURS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class _Child:
    name: str
    pid: int = 0
    started_s: float = 0.0
    start_at_s: float = 0.0
    failures: int = 0


class Supervisor:
    """Owns the children. `arguments` are handed on to each of them as they are."""

    def __init__(self, config: Config, arguments: Sequence[str], clock: Clock) -> None:
        self._config = config
        self._arguments = tuple(arguments)
        self._clock = clock
        self._children = [_Child(name) for name in PROCESSES]
        self._stopping = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit code. Raises `BadConfig` if another supervisor is running."""
        # Signals are taken one at a time from the queue; nothing interrupts the code in between.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        with _claimed(self._config.run_dir):
            own = self._pid_file("orchestrator")
            self._note_pid(own, os.getpid())
            try:
                return self._watch()
            finally:
                self._stop()
                self._forget_pid(own)

    def _watch(self) -> int:
        while True:
            for child in self._children:
                if not child.pid and child.start_at_s <= self._clock.monotonic():
                    self._start(child)
            received = signal.sigtimedwait(_OURS, self._until_next_start_s())
            if received is None:
                continue
            if received.si_signo in (signal.SIGTERM, signal.SIGINT):
                return 0
            if received.si_signo == signal.SIGHUP:
                self._log("supervisor.hangup", why="settings are read at the start only: restart to have them read")
            elif EXIT_CONFIG in self._reap():
                return EXIT_CONFIG

    def _start(self, child: _Child) -> None:
        command = [sys.executable, "-m", SERVE_MODULE, child.name, *self._arguments]
        child.started_s = self._clock.monotonic()
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        try:
            child.pid = os.posix_spawn(sys.executable, command, environment, setsigmask=(signal.SIGHUP,))
        except OSError as exc:  # no memory, no process id: it passes
            restart = after_exit(1, ran_s=0.0, failures=child.failures)
            child.failures, child.start_at_s = restart.failures, child.started_s + restart.delay_s
            self._log("supervisor.not_started", process=child.name, why=str(exc), again_in_s=restart.delay_s)
            return
        self._note_pid(self._pid_file(child.name), child.pid)
        self._log("supervisor.started", process=child.name, pid=child.pid)

    def _reap(self) -> list[int]:
        codes = []
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                codes.append(self._note_end(child, os.waitstatus_to_exitcode(status)))
        return codes

    def _note_end(self, child: _Child, exit_code: int) -> int:
        now_s = self._clock.monotonic()
        restart = after_exit(exit_code, ran_s=now_s - child.started_s, failures=child.failures)
        again_in_s = None if self._stopping else restart.delay_s
        self._log("supervisor.ended", process=child.name, exit_code=exit_code, again_in_s=again_in_s)
        child.pid, child.failures, child.start_at_s = 0, restart.failures, now_s + restart.delay_s
        self._forget_pid(self._pid_file(child.name))
        return exit_code

    def _until_next_start_s(self) -> float:
        waiting = [child.start_at_s for child in self._children if not child.pid]
        # With nothing to start there is only signals to wait for; a minute is as good as for ever.
        return max(0.0, min(waiting) - self._clock.monotonic()) if waiting else 60.0

    def _stop(self) -> None:
        """End the children: first those that use the API server, then the API server itself."""
        self._stopping = True
        notify(STOPPING)
        for names in (PROCESSES[1:], PROCESSES[:1]):
            children = [child for child in self._children if child.name in names]
            self._end(children)

    def _end(self, children: Sequence[_Child]) -> None:
        for number, patience_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
            for child in children:
                if child.pid:
                    os.kill(child.pid, number)
            deadline_s = self._clock.monotonic() + patience_s
            while any(child.pid for child in children) and self._clock.monotonic() < deadline_s:
                signal.sigtimedwait((signal.SIGCHLD,), 0.2)
                self._reap()

    def _pid_file(self, name: str) -> Path:
        return self._config.run_dir / f"{name}.pid"

    # Pid files and log lines are for people: a disk that is full or read-only must not end a control plane that runs.

    def _note_pid(self, pid_file: Path, pid: int) -> None:
        try:
            pid_file.write_text(f"{pid}\n")
        except OSError as exc:
            self._log("supervisor.no_pid_file", path=str(pid_file), why=str(exc))

    def _forget_pid(self, pid_file: Path) -> None:
        with suppress(OSError):
            pid_file.unlink(missing_ok=True)

    def _log(self, event: str, **values: object) -> None:
        # The form of machinery/log.py, without its imports.
        line = {"component": "supervisor", **values, "event": event, "level": "info"}
        line["timestamp"] = timestamp(self._clock.now())
        with suppress(OSError):
            sys.stderr.write(json.dumps(line) + "\n")
            sys.stderr.flush()


@contextmanager
def _claimed(run_dir: Path) -> Iterator[None]:
    """Hold a lock, so that there is one supervisor per state directory. Raises `BadConfig` if there is one already."""
    try:
        run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = (run_dir / "orchestrator.lock").open("w")
    except OSError as exc:
        raise BadConfig(f"cannot use state_dir '{run_dir.parent}': {exc.strerror}: '{exc.filename}'") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BadConfig(f"cannot use state_dir '{run_dir.parent}': a control plane runs on it already") from exc
        yield


def main() -> None:
    """The console script `wherry-orchestrator`."""
    try:
        config = load(sys.argv[1:], os.environ, program=PROGRAM)
        code = Supervisor(config, sys.argv[1:], SystemClock()).run()
    except BadConfig as exc:
        sys.exit(f"{PROGRAM}: {exc}")
    sys.exit(code)
