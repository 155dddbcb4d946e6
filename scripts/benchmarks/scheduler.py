"""Rows of the scheduler: plain pods on 5,000 nodes, bound through the real API server with everything on.

The nodes are objects only: what is measured is filtering, scoring and binding, not starting containers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from orchestrator.api import codec
from orchestrator.api.resources import NODES, PODS, SERVICEACCOUNTS
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.scheduling import (
    Container,
    NodeStatus,
    NodeView,
    PodSpec,
    PodView,
    ResourceRequirements,
)
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.kubeconfig import load_kubeconfig
from orchestrator.scheduler.place import FixedCache, Placed, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from orchestrator.scheduler.request import Demands
from orchestrator.scheduler.table import NodeTable
from scripts.benchmarks.table import Context, Row

_NODES = 5_000
_PODS = 5_000
_AT_ONCE = 64
_PLACED = 1_000
_PORT = 36443
_START_LIMIT_S = 30.0
_WAIT_S = 300.0


def run(context: Context) -> list[Row]:
    """Measure all rows."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir="/var/tmp") as folder:
        state = Path(folder)
        with _process(state, "api-server"):
            rate = asyncio.run(_bound_per_s(state, context.say))
    place_us, change_us = _placing()
    return [
        Row("scheduler", f"plain pods on {_NODES:,} nodes, bound", rate, "/s", ">= 1,000 /s"),
        Row("scheduler", f"a pod placed among {_NODES:,} nodes, without binding", place_us, "us"),
        Row("scheduler", "the same after a node's label changed", change_us, "us"),
    ]


def _placing() -> tuple[float, float]:
    """CPU time of placing and counting one pod, in us: with nothing changed, and after a node's label did."""
    table, demands, known = NodeTable(), Demands(), FixedCache()
    for number in range(_NODES):
        table.set_node(_node_view(number))

    def place_one(number: int) -> None:
        asked = ResourceRequirements(requests={"cpu": "100m", "memory": "64Mi"})
        spec = PodSpec(containers=(Container(resources=asked),), node_selector={"bench": "yes"})
        request = demands.request_of(PodView(metadata=ObjectMeta(uid=str(number)), spec=spec))
        outcome = place(request, table, DEFAULT_PROFILE, known)
        assert isinstance(outcome, Placed)
        table.add_pod(request, outcome.node)

    place_one(0)
    started = time.process_time()
    for number in range(_PLACED):
        place_one(number)
    placed = time.process_time()
    for number in range(_PLACED):
        table.set_node(_node_view(number, changed=str(number)))
        place_one(number)
    changed = time.process_time()
    return (placed - started) / _PLACED * 1e6, (changed - placed) / _PLACED * 1e6


def _node_view(number: int, changed: str = "") -> NodeView:
    labels = {"topology.kubernetes.io/zone": f"z{number % 3}", "bench": "yes", "changed": changed}
    allocatable: dict[str, str | int | float] = {"cpu": "32", "memory": "128Gi", "pods": "110"}
    return NodeView(metadata=ObjectMeta(name=f"n{number}", labels=labels), status=NodeStatus(allocatable=allocatable))


@contextlib.contextmanager
def _process(state: Path, name: str) -> Iterator[None]:
    """One process of the control plane. No controllers run: nothing else shall write while we measure."""
    settings = ["--state-dir", str(state), "--listen-address", "127.0.0.1", "--advertise-address", "127.0.0.1"]
    settings += ["--port", str(_PORT), "--scheduler-port", "0", "--log-level", "error"]
    process = subprocess.Popen([sys.executable, "-m", "orchestrator.serve", name, *settings])
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def _bound_per_s(state: Path, say: Callable[[str], None]) -> float:
    kubeconfig = state / "admin.kubeconfig"
    await _wait_ready(kubeconfig)
    async with Client(load_kubeconfig(kubeconfig)) as client:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await client.create(SERVICEACCOUNTS, account, "default", into=bytes)
        say(f"scheduler: {_NODES:,} nodes and {_PODS:,} pods are made")
        await _for_each(_NODES, lambda number: _add_node(client, number))
        await _for_each(_PODS, lambda number: _add_pod(client, number))
        listing = await client.list(PODS, "default", into=PodView)
        say("scheduler: starts")
        with _process(state, "scheduler"):
            return await _rate(client, listing.revision)


async def _rate(client: Client, revision: int) -> float:
    """Bindings a second from the first to the last, while the queue is never empty."""
    bound, first_s = 0, 0.0
    async with asyncio.timeout(_WAIT_S):
        async for event in client.watch(PODS, "default", revision=revision):
            if event.type == "MODIFIED" and codec.decode_into(event.object, PodView).spec.node_name:
                bound += 1
                first_s = first_s or time.monotonic()
                if bound == _PODS:
                    break
    return (_PODS - 1) / (time.monotonic() - first_s)


async def _add_node(client: Client, number: int) -> None:
    name = f"n{number}"
    labels = {"topology.kubernetes.io/zone": f"z{number % 3}", "kubernetes.io/hostname": name}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    await client.create(NODES, node, into=bytes)
    allocatable = {"cpu": "32", "memory": "128Gi", "pods": "110"}
    await client.patch(NODES, name, {"status": {"allocatable": allocatable}}, into=bytes, subresource="status")
    await client.patch(NODES, name, {"spec": {"taints": None}}, into=bytes)


async def _add_pod(client: Client, number: int) -> None:
    container = {"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "labels": {"app": "bench"}},
        "spec": {"containers": [container]},
    }
    await client.create(PODS, pod, "default", into=bytes)


async def _for_each(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Do it for 0..count-1, so many at once."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    async with asyncio.TaskGroup() as group:
        for worker_number in range(_AT_ONCE):
            group.create_task(worker(), name=f"worker-{worker_number}")


async def _wait_ready(kubeconfig: Path) -> None:
    async with asyncio.timeout(_START_LIMIT_S):
        while True:
            with contextlib.suppress(OSError, Unreachable, ApiError):
                async with Client(load_kubeconfig(kubeconfig)) as client:
                    await client.request("GET", "/readyz")
                    return
            await asyncio.sleep(0.05)
