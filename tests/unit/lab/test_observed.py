"""Finding what belongs to a lab on the machine, and nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.lab import observed
from orchestrator.lab.engine import Engine, EngineUnreachable
from orchestrator.lab.processes import environment
from orchestrator.lab.teardown import remove_stale_sockets


@pytest.fixture
def marked(tmp_path):
    """A process that carries a lab's marks, and a child of its own that inherits them."""
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    variables = environment(os.environ, state_dir=tmp_path, name="daemon")
    with subprocess.Popen(
        [sys.executable, "-c", script], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        child = int(parent.stdout.readline())
        yield parent.pid, child
        observed.send([parent.pid, child], signal.SIGKILL)


def test_processes_are_found_with_what_they_started(marked, tmp_path):
    assert {process.pid for process in observed.marked_processes(tmp_path)} == set(marked)
    assert {process.name for process in observed.marked_processes(tmp_path)} == {"daemon"}


def test_a_program_that_is_only_just_executed_has_its_variables():
    # On one processor the starter runs again before the program's variables are laid out.
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        for _ in range(20):
            with subprocess.Popen(["/bin/sleep", "60"], env={"KEY": "value"}) as started:
                variables = observed.environment_of(started.pid)
                started.kill()
            assert b"KEY=value" in variables
    finally:
        os.sched_setaffinity(0, processors)


def test_a_process_without_variables_has_none():
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as bare:
        variables = observed.environment_of(bare.pid)
        bare.kill()
    assert variables == ()


def test_another_labs_processes_are_not_ours(marked, tmp_path):
    assert observed.marked_processes(tmp_path / "other") == ()
    assert observed.marked_processes(tmp_path.parent) == ()


def test_waiting_for_a_process_to_end(marked):
    _, child = marked
    assert not observed.wait_gone(child, 0.0)
    observed.send([child], signal.SIGKILL)
    assert observed.wait_gone(child, 10.0)


def test_a_process_that_is_gone_is_gone():
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        assert not observed.is_alive(ended.pid)
        assert observed.environment_of(ended.pid) == ()
    observed.send([ended.pid], signal.SIGKILL)


def test_only_sockets_that_nobody_listens_on_are_removed(tmp_path):
    directory = tmp_path / "s"
    directory.mkdir()
    live, stale, other = directory / "live", directory / "stale", directory / "file"
    other.touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(live))
        listening.listen()
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(stale))
            closed.listen()
        remove_stale_sockets(directory)
        assert sorted(path.name for path in directory.iterdir()) == ["file", "live"]


def test_a_directory_that_held_nothing_else_goes_too(tmp_path):
    (tmp_path / "containerd" / "s").mkdir(parents=True)
    remove_stale_sockets(tmp_path / "containerd" / "s")
    assert not (tmp_path / "containerd").exists()


def test_an_engine_that_is_not_there_is_said_to_be_unreachable(tmp_path):
    engine = Engine(tmp_path / "docker.sock")
    assert not engine.answers()
    with pytest.raises(EngineUnreachable, match=r"docker\.sock"):
        engine.containers()


def test_mounts_are_listed_innermost_first():
    found = observed.mounts_below(Path("/sys"))
    assert list(found) == sorted(found, key=len, reverse=True)
