"""Restarts by decision, and the supervisor with real processes that stand in for the control plane's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.lab.observed import is_alive
from orchestrator.machinery.restarts import Restart, after_exit
from orchestrator.serve.process import own_identity
from orchestrator.supervisor import EXIT_CONFIG, PROCESSES


@pytest.mark.parametrize(
    ("exit_code", "ran_s", "failures", "expected"),
    [
        pytest.param(-signal.SIGKILL, 0.1, 5, Restart(0.0, 0), id="killed-is-started-at-once"),
        pytest.param(1, 0.1, 0, Restart(0.2, 1), id="the-first-failure"),
        pytest.param(1, 0.1, 3, Restart(1.6, 4), id="the-fourth"),
        pytest.param(1, 0.1, 60, Restart(10.0, 61), id="never-longer-than-ten-seconds"),
        pytest.param(1, 31.0, 9, Restart(0.2, 1), id="whoever-ran-for-long-starts-over"),
        pytest.param(0, 0.1, 0, Restart(0.2, 1), id="an-end-nobody-asked-for-is-a-failure"),
    ],
)
def test_after_exit(exit_code: int, ran_s: float, failures: int, expected: Restart) -> None:
    assert after_exit(exit_code, ran_s=ran_s, failures=failures) == expected


# Stands in for `python -m orchestrator.serve`: waits for SIGTERM, or ends as the state directory says. With a file
# `late` there, it is as slow as can be to come as far as asking for its end: its parent is gone by then.
_STAND_IN = """
import os, pathlib, signal, sys, time
state = pathlib.Path(sys.argv[sys.argv.index("--state-dir") + 1])
parent = os.getppid()
order = state / f"{sys.argv[1]}.exit"
if order.exists():
    sys.exit(int(order.read_text()))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with (state / "starts").open("a") as starts:
    starts.write(sys.argv[1] + "\\n")
if (state / "late").exists():
    while os.getppid() == parent:
        time.sleep(0.01)
    from orchestrator.serve.process import die_with_parent
    die_with_parent()
while True:
    signal.pause()
"""


class Running:
    def __init__(self, tmp_path: Path) -> None:
        self.state = tmp_path / "state"
        self.run_dir = self.state / "run"
        package = tmp_path / "path" / "orchestrator_stand_in"
        package.mkdir(parents=True)
        self.state.mkdir()
        (package / "__init__.py").write_text("")
        (package / "serve.py").write_text(_STAND_IN)
        self._environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'path'}:{Path.cwd()}"}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        # The real supervisor, told to run the stand-in's module.
        program = (
            "import orchestrator.supervisor as s; s.SERVE_MODULE = 'orchestrator_stand_in.serve'; "
            f"import sys; sys.argv[1:] = ['--state-dir', {str(self.state)!r}]; s.main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program], env=self._environment, stderr=subprocess.PIPE, cwd="/"
        )
        self.processes.append(process)
        return process

    def pid_of(self, name: str, *, other_than: int = 0) -> int:
        """A process may run before the supervisor has noted its id: waits for an id that is not `other_than`."""
        wait_until(lambda: self._noted(name) not in (0, other_than))
        return self._noted(name)

    def _noted(self, name: str) -> int:
        try:
            return int((self.run_dir / f"{name}.pid").read_text() or "0")
        except FileNotFoundError:
            return 0

    def starts(self) -> list[str]:
        path = self.state / "starts"
        return path.read_text().split() if path.exists() else []

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> int:
        process.terminate()
        _, _ = process.communicate(timeout=30)
        return process.returncode


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    for process in running.processes:
        if process.poll() is None:
            running.stop(process)
        if process.stderr is not None:
            process.stderr.close()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_all_processes_are_started_and_ended(running: Running) -> None:
    process = running.start()
    wait_until(lambda: sorted(running.starts()) == sorted(PROCESSES))
    pids = [running.pid_of(name) for name in PROCESSES]
    assert all(is_alive(pid) for pid in pids)
    assert running.stop(process) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert list(running.run_dir.glob("*.pid")) == []


def test_a_killed_process_comes_back(running: Running) -> None:
    running.start()
    wait_until(lambda: len(running.starts()) == 3)
    killed = running.pid_of("controllers")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: running.starts().count("controllers") == 2)
    assert is_alive(running.pid_of("controllers", other_than=killed))
    assert running.starts().count("api-server") == 1


def test_a_process_that_is_slow_to_start_goes_with_a_killed_supervisor(running: Running) -> None:
    (running.state / "late").touch()
    supervisor = running.start()
    wait_until(lambda: len(running.starts()) == 3)
    pids = [running.pid_of(name) for name in PROCESSES]
    supervisor.kill()
    supervisor.wait(timeout=30)
    try:
        wait_until(lambda: not any(is_alive(pid) for pid in pids))
    finally:
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_setting_that_cannot_be_used_ends_the_whole(running: Running) -> None:
    (running.state / "scheduler.exit").write_text(str(EXIT_CONFIG))
    process = running.start()
    process.communicate(timeout=30)
    assert process.returncode == EXIT_CONFIG
    assert list(running.run_dir.glob("*.pid")) == []


def test_a_hangup_ends_nothing(running: Running) -> None:
    supervisor = running.start()
    wait_until(lambda: len(running.starts()) == 3)
    pids = [running.pid_of(name) for name in PROCESSES]
    for pid in (supervisor.pid, *pids):
        os.kill(pid, signal.SIGHUP)
    os.kill(pids[0], signal.SIGKILL)  # its successor comes after the hang-ups have been taken
    wait_until(lambda: running.starts().count(PROCESSES[0]) == 2)
    assert all(is_alive(pid) for pid in (supervisor.pid, *pids[1:]))
    assert len(running.starts()) == 4


def test_a_daemon_is_not_ended_by_a_hangup() -> None:
    program = (
        "import asyncio; from orchestrator.machinery.tasks import run_until_signalled\n"
        "async def main():\n    print('runs', flush=True); await asyncio.Event().wait()\n"
        "run_until_signalled(main)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, "it is SIGTERM that ended it, in order"


def test_a_pid_file_that_cannot_be_written_ends_nothing(running: Running) -> None:
    for name in ("controllers", "orchestrator"):
        (running.run_dir / f"{name}.pid" / "in-the-way").mkdir(parents=True)
    process = running.start()
    wait_until(lambda: len(running.starts()) == 3)
    killed = running.pid_of("scheduler")
    os.kill(killed, signal.SIGKILL)
    running.pid_of("scheduler", other_than=killed)
    wait_until(lambda: sorted(running.starts()) == sorted([*PROCESSES, "scheduler"]))
    assert running.stop(process) == 0


def test_a_log_that_cannot_be_written_ends_nothing(running: Running) -> None:
    process = running.start()
    assert process.stderr is not None
    process.stderr.close()
    wait_until(lambda: len(running.starts()) == 3)
    os.kill(running.pid_of("controllers"), signal.SIGKILL)
    wait_until(lambda: running.starts().count("controllers") == 2)
    process.terminate()
    assert process.wait(timeout=30) == 0


def test_there_is_one_supervisor_for_a_state_directory(running: Running) -> None:
    first = running.start()
    wait_until(lambda: len(running.starts()) == 3)
    second = running.start()
    _, said = second.communicate(timeout=30)
    assert second.returncode == 1
    assert b"a control plane runs on it already" in said
    assert running.pid_of("orchestrator") == first.pid


def test_an_identity_outlives_its_process_and_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run" / "controllers.identity"
    with own_identity(path) as first, own_identity(path) as beside:
        assert first.startswith(f"{socket.gethostname()}_")
        assert beside.startswith(f"{socket.gethostname()}_")
        assert beside != first, "two processes on one machine are two candidates"
    with own_identity(path) as again:
        assert again == first
    with own_identity(tmp_path / "elsewhere") as other:
        assert other not in (first, beside)


def test_the_supervisor_stays_small() -> None:
    heavy = "aiohttp", "asyncio", "ssl", "yaml", "structlog"
    program = f"import sys, orchestrator.supervisor; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
