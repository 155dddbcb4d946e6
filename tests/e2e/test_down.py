"""`down` leaves nothing behind: not after a clean start, nor after a start that failed half way, nor after kills."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.lab import observed
from tests.e2e.conftest import NEEDED
from tests.support.lab import WHERRY, Cluster, machine_snapshot, wait_for, wherry

STATE_DIR = Path("/var/tmp/wherry-down")
FLAGS = ("--state-dir", str(STATE_DIR))


@pytest.fixture
def machine() -> Iterator[dict[str, object]]:
    """What the machine looks like before; checked to look the same afterwards."""
    if os.geteuid() != 0 or any(shutil.which(program) is None for program in NEEDED):
        pytest.skip("needs root, Docker Engine and the registry (scripts/test installs them)")
    wherry("down", "--purge", *FLAGS)
    before = machine_snapshot(STATE_DIR)
    yield before
    try:
        assert machine_snapshot(STATE_DIR) == before
        assert not STATE_DIR.exists()
    finally:
        wherry("down", "--purge", *FLAGS)


def stop(*flags: str) -> str:
    done = wherry("down", *FLAGS, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start() -> Cluster:
    done = wherry("up", "--nodes", "2", "--no-demo", *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    return Cluster(STATE_DIR)


def test_after_a_clean_start_and_a_second_start_on_the_same_state(machine):
    first = start()
    first.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    first.kubectl("create", "deployment", "left", "--image=nginx:1.16", "--replicas=2")
    first.wait_rolled_out("deployment/left")
    assert "its state is kept" in stop()
    without_files = machine_snapshot(STATE_DIR)
    assert without_files == machine
    assert not any((STATE_DIR / "run").glob("*.pid"))

    second = start()
    assert second.get("configmap", "kept")["data"] == {"a": "b"}
    second.wait_rolled_out("deployment/left")
    assert "its state is removed" in stop("--purge")


def test_after_everything_was_killed(machine):
    cluster = start()
    cluster.kubectl("create", "deployment", "left", "--image=nginx:1.16", "--replicas=2")
    cluster.wait_rolled_out("deployment/left")
    for marked in observed.marked_processes(STATE_DIR):
        if marked.name == "lab":
            os.kill(marked.pid, signal.SIGKILL)
    for marked in observed.marked_processes(STATE_DIR):
        with contextlib.suppress(ProcessLookupError):
            os.kill(marked.pid, signal.SIGKILL)
    stop("--purge")


def test_after_a_start_that_was_interrupted(machine):
    with subprocess.Popen([str(WHERRY), "up", "--nodes", "3", *FLAGS], stdout=subprocess.DEVNULL) as starting:
        wait_for("the first engine", lambda: (STATE_DIR / "nodes" / "node-1" / "docker.sock").exists(), 60)
        starting.send_signal(signal.SIGKILL)
    stop("--purge")


def test_with_nothing_running(machine):
    assert "Nothing was running" in stop()


def test_a_directory_that_no_cluster_was_started_in_is_not_purged(tmp_path):
    (tmp_path / "precious").touch()
    refused = wherry("down", "--purge", "--state-dir", str(tmp_path))
    assert refused.returncode == 1
    assert "cannot purge" in refused.stderr
    assert (tmp_path / "precious").exists()
