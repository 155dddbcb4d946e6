"""The lab's supervisor: keeps its processes running, and adopts those that an earlier supervisor started.

Every process is in a session of its own and carries the lab's marks, so the supervisor can be killed and started again
without touching one of them. It ends on SIGTERM and leaves them running: stopping a lab is `teardown`'s work.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from orchestrator.lab import observed
from orchestrator.lab.processes import SUPERVISOR, ProcessSpec, Rank, environment
from orchestrator.machinery.backoff import Backoff
from orchestrator.machinery.clock import Clock, SystemClock
from orchestrator.machinery.log import configure, get_logger
from orchestrator.machinery.whole_files import write_whole

logger = get_logger(__name__)

STEADY_S = 10.0
"""A process that ran this long is started again at once; one that fails sooner waits longer each time."""
BACKOFF = Backoff(first_s=0.1, limit_s=5.0)
NEEDS_POLL_S = 0.1
KILL_S = 10.0
"""A process that has not ended so long after SIGKILL hangs in the kernel: what comes next does not wait for it."""
LOG_BYTES_MAX = 32 << 20
LOG_CHECK_S = 60.0
# The process writes its own pid file before it becomes what it is to be: a supervisor killed at any instant leaves no
# process behind that its successor cannot find; one that has not come as far as the file is ended by the successor.
# A program that is missing is an end with status 127, like any other.
_NAMED_START = 'echo $$ >"$0.partial" && mv "$0.partial" "$0" && exec "$@"'


def write_specs(path: Path, specs: Sequence[ProcessSpec]) -> None:
    """Write down what a supervisor is to run."""
    write_whole(path, json.dumps([asdict(spec) for spec in specs], indent=1).encode())


def read_specs(path: Path) -> tuple[ProcessSpec, ...]:
    """What `write_specs` wrote."""
    return tuple(
        ProcessSpec(**raw | {"argv": tuple(raw["argv"]), "rank": Rank(raw["rank"]), "needs": tuple(raw["needs"])})
        for raw in json.loads(path.read_text())
    )


class Supervisor:
    """Keeps one lab's processes running until it is cancelled."""

    def __init__(self, state_dir: Path, specs: Sequence[ProcessSpec], *, clock: Clock) -> None:
        self._state_dir = state_dir
        self._run_dir = state_dir / "run"
        self._log_dir = state_dir / "log"
        self._specs = tuple(specs)
        self._clock = clock

    async def run(self) -> None:
        """Keep every process running; never returns by itself."""
        async with asyncio.TaskGroup() as group:
            for spec in self._specs:
                group.create_task(self._keep(spec), name=f"keep {spec.name}")
            group.create_task(self._bound_logs(), name="bound logs")

    async def _keep(self, spec: ProcessSpec) -> None:
        failures = 0
        pid = await self._adopt(spec)
        while True:
            began = self._clock.monotonic()
            if pid is not None:
                logger.info("lab.process_adopted", process=spec.name, pid=pid)
                await _wait_ended(pid)
                ended = "adopted process ended"
            else:
                await _wait_for_paths(spec.needs)
                began = self._clock.monotonic()
                try:
                    child = self._start(spec)
                except OSError as exc:  # no room for its log, no process id: it passes
                    ended = f"not started: {exc}"
                else:
                    await _wait_ended(child)
                    ended = f"ended with {_status_of(child)}"
            pid = None
            lasted_s = self._clock.monotonic() - began
            if not spec.alone:
                await self._end(spec, self._named)
            failures = 0 if lasted_s >= STEADY_S else failures + 1
            # The first end, a kill for example, is answered at once.
            delay_s = BACKOFF.delay_s(failures - 1) if failures > 1 else 0.0
            logger.warning("lab.process_ended", process=spec.name, why=ended, lasted_s=lasted_s, delay_s=delay_s)
            await asyncio.sleep(delay_s)

    def _start(self, spec: ProcessSpec) -> int:
        variables = environment(os.environ, state_dir=self._state_dir, name=spec.name)
        pid = _spawn(
            spec.argv, variables, log=self._log_dir / f"{spec.name}.log", pid_file=spec.pid_file(self._run_dir)
        )
        logger.info("lab.process_started", process=spec.name, pid=pid)
        return pid

    async def _adopt(self, spec: ProcessSpec) -> int | None:
        """The process that an earlier supervisor started; what else is left of it, and would run beside, is ended."""
        await self._end(spec, self._unrecorded)
        pid = self._recorded(spec)
        if pid is None and not spec.alone:
            await self._end(spec, self._named)
        return pid

    def _named(self, spec: ProcessSpec) -> list[int]:
        return [marked.pid for marked in observed.marked_processes(self._state_dir) if marked.name == spec.name]

    def _recorded(self, spec: ProcessSpec) -> int | None:
        return observed.running(spec.name, run_dir=self._run_dir, state_dir=self._state_dir)

    def _unrecorded(self, spec: ProcessSpec) -> list[int]:
        """Those that are about to write their pid file: whoever started them ended before they did."""
        # Looked for before their files are: one that writes its file in between is recorded, and stays.
        about_to = [pid for pid in self._named(spec) if _NAMED_START in observed.command_of(pid)]
        return [pid for pid in about_to if pid != self._recorded(spec)]

    async def _end(self, spec: ProcessSpec, find: Callable[[ProcessSpec], list[int]]) -> None:
        """Kill what is found, and wait until it has ended: it holds files and ports that its successor needs."""
        try:
            async with asyncio.timeout(KILL_S):
                while left := find(spec):
                    logger.info("lab.rest_killed", process=spec.name, pids=left)
                    observed.send(left, signal.SIGKILL)
                    for pid in left:
                        await _wait_ended(pid)
        except TimeoutError:
            logger.warning("lab.rest_lives", process=spec.name, limit_s=KILL_S)

    async def _bound_logs(self) -> None:
        """Keep logs from filling the disk: past the limit, the last part is kept beside and the log starts over."""
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for spec in self._specs:
                path = self._log_dir / f"{spec.name}.log"
                try:
                    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
                        await asyncio.to_thread(_start_over, path)
                except OSError as exc:  # a full disk, perhaps of these logs: the next round tries again
                    logger.warning("lab.log_not_bounded", path=str(path), why=str(exc))


def _start_over(path: Path) -> None:
    # The writer holds the file open for appending, so it is emptied in place, not replaced.
    try:
        with path.open("rb") as log:
            log.seek(-LOG_BYTES_MAX // 2, os.SEEK_END)
            path.with_suffix(".log.1").write_bytes(log.read())
    finally:
        os.truncate(path, 0)  # also where there is no room for a copy: then it is the more needed


async def _wait_for_paths(paths: Sequence[str]) -> None:
    while not all(os.path.exists(path) for path in paths):  # noqa: ASYNC110 - other programs make these files
        await asyncio.sleep(NEEDS_POLL_S)


def _spawn(argv: Sequence[str], variables: Mapping[str, str], *, log: Path, pid_file: Path) -> int:
    """Start a process in a session of its own, its output going to the end of `log`."""
    command = ("/bin/sh", "-c", _NAMED_START, str(pid_file), *argv)
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, variables, file_actions=actions, setsid=True)


def _status_of(child: int) -> int:
    """The exit status of a child that has ended: so this returns at once, and leaves no zombie."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def _wait_ended(pid: int) -> None:
    """Wait until the process has ended; it need not be a child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def launch(state_dir: Path, specs: Sequence[ProcessSpec]) -> int:
    """Start a supervisor for `specs` in the background and return its process id."""
    for directory in ("run", "log"):
        (state_dir / directory).mkdir(parents=True, exist_ok=True)
    write_specs(state_dir / "run" / "processes.json", specs)
    command = (sys.executable, "-m", "orchestrator.lab.supervisor", "--state-dir", str(state_dir))
    variables = environment(os.environ, state_dir=state_dir, name=SUPERVISOR)
    log, pid_file = state_dir / "log" / f"{SUPERVISOR}.log", state_dir / "run" / f"{SUPERVISOR}.pid"
    return _spawn(command, variables, log=log, pid_file=pid_file)


async def _supervise(state_dir: Path, specs: Sequence[ProcessSpec]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that it was started from is gone
    try:
        await Supervisor(state_dir, specs, clock=SystemClock()).run()
    except asyncio.CancelledError:
        logger.info("lab.supervisor_ended", why="SIGTERM; its processes go on")


def main() -> None:
    """The process's entry point: one supervisor per state directory; a second one ends at once."""
    parser = argparse.ArgumentParser(description="keeps the processes of a lab running")
    parser.add_argument("--state-dir", type=Path, required=True)
    state_dir: Path = parser.parse_args().state_dir
    configure(human=False)
    with (state_dir / "run" / f"{SUPERVISOR}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("lab.supervisor_ended", why="another one runs")
            return
        os.chdir("/")  # the directory it was started from is nobody's to hold
        asyncio.run(_supervise(state_dir, read_specs(state_dir / "run" / "processes.json")))


if __name__ == "__main__":
    main()
