"""One lab for all end-to-end tests, brought up and taken down by the same commands that users have.

`WHERRY_E2E_KEEP=1` leaves it running afterwards, and uses it again, which makes writing tests faster.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Cluster, kubectl_minor, wherry

STATE_DIR = Path("/var/tmp/wherry-e2e")
NEEDED = ("ip", "nft", "nsenter", "dockerd", "containerd", "docker-registry")
KUBECTL_MINOR_MIN = 30


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of three nodes with the demo running. Tests leave it as they find it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and Docker Engines")
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (scripts/test installs them)")
    if kubectl_minor() == 0:
        pytest.skip("needs a kubectl on PATH")
    started = wherry("up", "--nodes", "3", "--state-dir", str(STATE_DIR), timeout_s=600)
    try:
        assert started.returncode == 0, f"wherry up failed:\n{started.stdout}\n{started.stderr}"
        yield Cluster(STATE_DIR)
    finally:
        if not os.environ.get("WHERRY_E2E_KEEP"):
            keep_logs()
            stopped = wherry("down", "--purge", "--state-dir", str(STATE_DIR))
            assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def keep_logs() -> None:
    """Set the lab's logs aside where `WHERRY_E2E_LOGS` says, for whoever has to explain a failure."""
    target = os.environ.get("WHERRY_E2E_LOGS")
    if target and (STATE_DIR / "log").is_dir():
        shutil.copytree(STATE_DIR / "log", target, dirs_exist_ok=True)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:40].strip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.run("delete", "namespace", name, "--wait=true", "--timeout=90s", timeout_s=100)


@pytest.fixture
def new_kubectl() -> None:
    """For tests of what kubectl does over WebSocket, since 1.30."""
    minor = kubectl_minor()
    if minor < KUBECTL_MINOR_MIN:
        pytest.skip(f"kubectl is 1.{minor}: exec needs 1.{KUBECTL_MINOR_MIN} or newer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)
            if not any(item.iter_markers("timeout")):
                item.add_marker(pytest.mark.timeout(420))
