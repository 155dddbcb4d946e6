"""The lab's supervisor with real processes: what is killed is started again, what runs already is adopted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.lab import observed
from orchestrator.lab.processes import ProcessSpec, Rank
from orchestrator.lab.supervisor import Supervisor, read_specs, write_specs
from orchestrator.lab.teardown import NotAStateDirectory, tear_down
from orchestrator.machinery.clock import SystemClock

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def state_dir(tmp_path: Path):
    for name in ("run", "log"):
        (tmp_path / name).mkdir()
    yield tmp_path
    # One that was only just started may start another before it is killed: until none is left.
    while left := [marked.pid for marked in observed.marked_processes(tmp_path)]:
        observed.send(left, signal.SIGKILL)
        assert all(observed.wait_gone(pid, 20) for pid in left)


def a_spec(name: str = "sleeper", argv=SLEEPER, **settings) -> ProcessSpec:
    return ProcessSpec(name=name, argv=argv, rank=Rank.DAEMON, **settings)


@asynccontextmanager
async def supervised(state_dir: Path, *specs: ProcessSpec) -> AsyncIterator[None]:
    task = asyncio.create_task(Supervisor(state_dir, specs, clock=SystemClock()).run(), name="supervisor")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other processes make it true
            await asyncio.sleep(0.01)


def marked(state_dir: Path, name: str = "sleeper") -> list[int]:
    """Every process of that name, from the moment it is started: its pid file comes later."""
    return [process.pid for process in observed.marked_processes(state_dir) if process.name == name]


def running(state_dir: Path, name: str = "sleeper") -> int | None:
    return observed.running(name, run_dir=state_dir / "run", state_dir=state_dir)


async def test_a_killed_process_is_started_again_and_its_pid_file_follows(state_dir):
    async with supervised(state_dir, a_spec()):
        await until(lambda: running(state_dir))
        first = running(state_dir)
        os.kill(first, signal.SIGKILL)
        await until(lambda: running(state_dir) not in (None, first))


async def test_a_new_supervisor_adopts_what_an_earlier_one_started(state_dir):
    async with supervised(state_dir, a_spec()):
        await until(lambda: running(state_dir))
        first = running(state_dir)
    assert running(state_dir) == first, "it outlives its supervisor"
    async with supervised(state_dir, a_spec(), a_spec("later")):
        await until(lambda: running(state_dir, "later"))
        assert marked(state_dir) == [first]
        os.kill(first, signal.SIGKILL)
        await until(lambda: running(state_dir) not in (None, first))


async def test_a_process_waits_for_what_it_needs(state_dir):
    needed = state_dir / "needed"
    async with supervised(state_dir, a_spec(needs=(str(needed),)), a_spec("other")):
        await until(lambda: running(state_dir, "other"))
        assert marked(state_dir) == []
        needed.touch()
        await until(lambda: running(state_dir))


async def test_a_program_that_is_missing_fails_alone(state_dir):
    async with supervised(state_dir, a_spec("missing", argv=("/nonexistent/program",)), a_spec()):
        await until(lambda: running(state_dir))
        await until(lambda: "not found" in (state_dir / "log" / "missing.log").read_text())


@pytest.mark.parametrize(
    ("alone", "survives"), [pytest.param(False, False, id="as-systemd-does"), pytest.param(True, True, id="alone")]
)
async def test_what_a_process_started_ends_with_it_unless_it_is_told_to_leave_it(state_dir, alone, survives):
    # The parent is a shell that starts a child and waits; the child's id is told through a file.
    child_file = state_dir / "child"
    argv = ("/bin/sh", "-c", f"sleep 600 & [ -e {child_file} ] || echo $! > {child_file}; wait")
    async with supervised(state_dir, a_spec(argv=argv, alone=alone)):
        await until(lambda: child_file.exists() and child_file.read_text().strip())
        parent, child = running(state_dir), int(child_file.read_text())
        os.kill(parent, signal.SIGKILL)
        await until(lambda: running(state_dir) not in (None, parent))
        assert observed.is_alive(child) == survives


@pytest.mark.parametrize(
    ("alone", "survives"), [pytest.param(False, False, id="ended"), pytest.param(True, True, id="alone")]
)
async def test_what_nobody_recorded_does_not_run_beside_what_is_started(state_dir, alone, survives):
    async with supervised(state_dir, a_spec(alone=alone)):
        await until(lambda: running(state_dir))
        first = running(state_dir)
        await until(lambda: observed.command_of(first) == SLEEPER)
    (state_dir / "run" / "sleeper.pid").unlink()
    async with supervised(state_dir, a_spec(alone=alone)):
        await until(lambda: running(state_dir))
        assert observed.is_alive(first) == survives


@pytest.mark.parametrize("alone", [False, True])
async def test_a_process_whose_supervisor_was_killed_before_it_had_a_pid_file_is_not_started_twice(state_dir, alone):
    # The pipe holds the first one up before its pid file, as a busy machine may.
    pipe = state_dir / "run" / "sleeper.pid.partial"
    os.mkfifo(pipe)
    async with supervised(state_dir, a_spec(alone=alone)):
        await until(lambda: marked(state_dir))
    (first,) = marked(state_dir)
    assert running(state_dir) is None
    pipe.unlink()
    async with supervised(state_dir, a_spec(alone=alone)):
        await until(lambda: running(state_dir))
        assert marked(state_dir) == [running(state_dir)]
        assert running(state_dir) != first


def test_specs_are_read_as_they_were_written(state_dir):
    specs = (a_spec(needs=("/a", "/b"), alone=True), a_spec("other"))
    write_specs(state_dir / "run" / "processes.json", specs)
    assert read_specs(state_dir / "run" / "processes.json") == specs


@pytest.mark.parametrize("content", ["", "x", "999999999", "\0" * 10, "12 34"])
def test_a_pid_file_that_names_no_process_of_the_lab_names_nothing(state_dir, content):
    (state_dir / "run" / "sleeper.pid").write_text(content)
    assert running(state_dir) is None


def test_a_pid_that_another_program_got_is_not_ours(state_dir):
    (state_dir / "run" / "sleeper.pid").write_text(str(os.getpid()))
    assert running(state_dir) is None


async def test_purging_refuses_a_directory_in_which_no_cluster_was_started(tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(NotAStateDirectory, match="cannot purge"):
        await tear_down(tmp_path, purge=True, clock=SystemClock(), say=lambda _: None)
    assert (tmp_path / "precious").exists()
