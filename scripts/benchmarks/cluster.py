"""Rows of a whole cluster: start to Ready, memory when idle, one pod to Running, forty pods to Ready.

A lab of one node with its own Docker Engine, made and removed by this module. `docker run` on the same engine, in the
same run, is what starting a pod is compared with.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.api import codec
from orchestrator.api.resources import DEPLOYMENTS, NODES, PODS
from orchestrator.machinery.client import Client
from orchestrator.machinery.kubeconfig import load_kubeconfig
from scripts.benchmarks.table import Context, Row

_IMAGE = "nginx:1.16"
_NETWORK = "wherry"
_RUNS = 8
_REPLICAS = 40
_CONTROL_PLANE = ("orchestrator", "api-server", "controllers", "scheduler")
_WAIT_S = 180.0

Object = dict[str, Any]


def run(context: Context) -> list[Row]:
    """Measure all rows."""
    if shutil.which("dockerd") is None:
        context.say("cluster: the Docker Engine is not installed")
        return []
    with tempfile.TemporaryDirectory(prefix="wb-", dir="/var/tmp") as folder:
        state = Path(folder) / "s"
        context.say("cluster: a lab of one node, twice: the first run makes the images")
        try:
            _wherry("up", "--nodes", "1", "--no-demo", state=state)
            asyncio.run(_first_pod(state))  # pulls the image
            _wherry("down", state=state)
            began = time.monotonic()
            _wherry("up", "--nodes", "1", "--no-demo", state=state)
            up_s = time.monotonic() - began
            asyncio.run(_first_pod(state))
            app_s = time.monotonic() - began
            rows = [
                Row(
                    "cluster", "stopped to Ready (engine, control plane, node)", up_s, "s", "<= 3 s without the engine"
                ),
                Row("cluster", "stopped to a running app, image present", app_s, "s", "<= 6 s"),
            ]
            rows += _memory_rows(state)
            rows += asyncio.run(_pod_rows(state, context.say))
        finally:
            _wherry("down", "--purge", state=state)
    return rows


def _wherry(*arguments: str, state: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.cli", *arguments, "--state-dir", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _memory_rows(state: Path) -> list[Row]:
    """Proportional shares (PSS): what the machine gives for a process, pages shared with others divided among them."""
    time.sleep(10)  # idle means: what start-up needed is given back
    pids = {path.stem: int(path.read_text()) for path in (state / "run").glob("*.pid")}
    rows = []
    for name in (*_CONTROL_PLANE, "node-1-node-agent", "node-1-netproxy"):
        rows.append(Row("cluster", f"memory idle, {name.removeprefix('node-1-')}", _pss_mb(pids[name]), "MB"))
    whole = sum(_pss_mb(pids[name]) for name in _CONTROL_PLANE)
    return [*rows, Row("cluster", "memory idle, whole control plane", whole, "MB", "<= 160 MB")]


def _pss_mb(pid: int) -> float:
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000


async def _first_pod(state: Path) -> None:
    async with Client(load_kubeconfig(state / "admin.kubeconfig")) as client:
        await _timed_pod(client, "first")


async def _pod_rows(state: Path, say: Callable[[str], None]) -> list[Row]:
    async with Client(load_kubeconfig(state / "admin.kubeconfig")) as client:
        say("cluster: pods and `docker run` in turn")
        node = (await client.list(NODES, into=dict)).items[0]["metadata"]["name"]
        docker, pods = [], []
        with _engine(state, node) as engine:
            for number in range(_RUNS):
                docker.append(_timed_docker_run(engine, number))
                pods.append(await _timed_pod(client, f"one-{number}"))
        say(f"cluster: {_REPLICAS} pods at once")
        many_s = await _timed_deployment(client)
    run_s, pod_s = statistics.median(docker), statistics.median(pods)
    return [
        Row("cluster", "docker run -d, on the pods' network", run_s * 1000, "ms"),
        Row("cluster", "one pod, created to Running", pod_s * 1000, "ms", f"<= {2000 * run_s:.0f} ms (2 x docker run)"),
        Row("cluster", f"{_REPLICAS} pods on one node, created to all Ready", many_s, "s", "<= 11.7 s (Swarm)"),
    ]


@contextlib.contextmanager
def _engine(state: Path, node: str) -> Iterator[list[str]]:
    """The command line of the node's engine; containers made with it are removed."""
    socket = next((state / "nodes" / node).glob("**/docker.sock"))
    command = ["docker", "--host", f"unix://{socket}"]
    try:
        yield command
    finally:
        listed = subprocess.run(
            [*command, "ps", "--all", "--quiet", "--filter", "label=wherry-bench"],
            capture_output=True,
            text=True,
            check=True,
        )
        if listed.stdout.split():
            subprocess.run([*command, "rm", "--force", *listed.stdout.split()], capture_output=True, check=True)


def _timed_docker_run(engine: list[str], number: int) -> float:
    # On the network that pods are on: the engine of a lab node has no other that leads anywhere.
    network = ["--network", _NETWORK]
    command = [*engine, "run", "--detach", *network, "--label", "wherry-bench", "--name", f"bench-{number}", _IMAGE]
    began = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    return time.monotonic() - began


async def _timed_pod(client: Client, name: str) -> float:
    """Seconds from sending the create to reading Running from a watch."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": _IMAGE}]},
    }
    revision = (await client.list(PODS, "default", into=dict)).revision
    began = time.monotonic()
    await client.create(PODS, body, "default", into=bytes)
    async for pod in _changes(client, PODS, revision):
        if pod["metadata"]["name"] == name and pod.get("status", {}).get("phase") == "Running":
            break
    seconds = time.monotonic() - began
    await client.delete(PODS, name, "default", grace_s=0)
    return seconds


async def _timed_deployment(client: Client) -> float:
    """Seconds from creating a deployment to all of its replicas being Ready."""
    template = {
        "metadata": {"labels": {"app": "bench"}},
        "spec": {"containers": [{"name": "c", "image": _IMAGE}], "terminationGracePeriodSeconds": 0},
    }
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bench"},
        "spec": {"replicas": _REPLICAS, "selector": {"matchLabels": {"app": "bench"}}, "template": template},
    }
    revision = (await client.list(DEPLOYMENTS, "default", into=dict)).revision
    began = time.monotonic()
    await client.create(DEPLOYMENTS, body, "default", into=bytes)
    async for deployment in _changes(client, DEPLOYMENTS, revision):
        if deployment.get("status", {}).get("readyReplicas") == _REPLICAS:
            break
    return time.monotonic() - began


async def _changes(client: Client, resource: Any, revision: int) -> AsyncIterator[Object]:
    async with asyncio.timeout(_WAIT_S):
        async for event in client.watch(resource, "default", revision=revision):
            if event.type in ("ADDED", "MODIFIED"):
                yield codec.decode(event.object)
