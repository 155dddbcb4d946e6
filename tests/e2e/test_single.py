"""`up --nodes 0`: the machine itself is the only node. The machine here is a network namespace, to leave ours alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.lab import WHERRY

STATE_DIR = Path("/var/tmp/wherry-single")
NAMESPACE = "single-machine"
ADDRESS = "10.77.0.2"


def on_machine(*argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    line = ("nsenter", f"--net=/run/netns/{NAMESPACE}", *argv)
    return subprocess.run(line, capture_output=True, text=True, timeout=timeout_s, check=False)


def must(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def state_of_machine() -> list[list[str]]:
    commands = (
        ("ip", "-brief", "link"),
        ("ip", "-4", "route", "show", "table", "all"),
        ("iptables-save",),
        ("sysctl", "-n", "net.ipv4.ip_forward"),
    )
    ignored = ("#", "*", "COMMIT", ":INPUT ACCEPT", ":OUTPUT ACCEPT", ":FORWARD ACCEPT", ":PREROUTING", ":POSTROUTING")
    return [
        [line for line in on_machine(*command).stdout.splitlines() if not line.startswith(ignored)]
        for command in commands
    ]


@pytest.fixture
def machine(cluster):
    """A machine with one address, a default route, and no Docker Engine running."""
    packages = cluster.state_dir / "images"
    if not packages.is_dir():
        pytest.skip("the namespace cannot reach Docker Hub, and there are no stand-ins to take along")
    must("ip", "netns", "add", NAMESPACE)
    try:
        must("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        must("ip", "-n", NAMESPACE, "link", "add", "uplink", "type", "veth", "peer", "name", "far")
        for link in ("uplink", "far"):
            must("ip", "-n", NAMESPACE, "link", "set", link, "up")
        must("ip", "-n", NAMESPACE, "address", "add", f"{ADDRESS}/24", "dev", "uplink")
        must("ip", "-n", NAMESPACE, "route", "add", "default", "via", "10.77.0.1")
        shutil.copytree(packages, STATE_DIR / "images", dirs_exist_ok=True)
        yield
        assert not STATE_DIR.exists()
    finally:
        on_machine(str(WHERRY), "down", "--purge", "--state-dir", str(STATE_DIR))
        shutil.rmtree(STATE_DIR, ignore_errors=True)
        must("ip", "netns", "delete", NAMESPACE)


def test_the_demo_answers_and_the_machine_is_given_back_as_it_was(machine):
    before = state_of_machine()
    up = on_machine(str(WHERRY), "up", "--nodes", "0", "--state-dir", str(STATE_DIR), timeout_s=300)
    assert up.returncode == 0, up.stdout + up.stderr
    assert "http://nginx/ says: Welcome to nginx!" in up.stdout
    assert f"http://{ADDRESS}:30080/ answers this machine" in up.stdout
    assert "The cluster of 1 node is up." in up.stdout
    down = on_machine(str(WHERRY), "down", "--purge", "--state-dir", str(STATE_DIR), timeout_s=120)
    assert down.returncode == 0, down.stdout + down.stderr
    assert state_of_machine() == before
