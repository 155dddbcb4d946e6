"""Rows of memory: what a process holds with 150,000 running pods on 5,000 nodes, the limits of Kubernetes.

Each is measured in a process of its own, fed through its own client's methods with objects as the API server sends
them. `python -m scripts.benchmarks.memory scheduler` measures one and prints its megabytes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.api import codec
from orchestrator.api.resources import NODES, PODS, Resource
from orchestrator.machinery.client import Client, Listing
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.machinery.tasks import settle_memory
from orchestrator.machinery.watch_stream import WatchEvent
from scripts.benchmarks.table import Context, Row

_NODES = 5_000
_PODS = 150_000
_PODS_OF_ONE_OWNER = 100
_BARS = {"scheduler": "<= 350 MB"}


def run(context: Context) -> list[Row]:
    """Measure all rows."""
    rows = []
    for part, bar in _BARS.items():
        command = [sys.executable, "-m", "scripts.benchmarks.memory", part]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        now, peak = done.stdout.split()
        rows.append(Row("memory", f"{part}, {_PODS:,} pods", float(now), "MB", bar))
        rows.append(Row("memory", f"{part}, {_PODS:,} pods, peak", float(peak), "MB", bar))
    return rows


class FullCluster(Client):
    """Answers lists with a full cluster and never has any news."""

    async def list(
        self, resource: Resource, namespace: str = "", *, limit: int = 0, continue_token: str = "", **_: Any
    ) -> Listing[Any]:
        """A page, each object as the bytes of it that the server sends."""
        count, made = {PODS: (_PODS, _pod), NODES: (_NODES, _node)}[resource]
        first = int(continue_token or 0)
        last = min(count, first + limit) if limit else count
        body = b"[" + b",".join(made(number) for number in range(first, last)) + b"]"
        items = tuple(codec.decode_into(body, list[msgspec.Raw]))
        await asyncio.sleep(0)
        return Listing(items, count, str(last) if last < count else "")

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        """Silence."""
        await asyncio.Event().wait()
        yield WatchEvent("BOOKMARK", b"{}")


def _node(number: int) -> bytes:
    name = f"node-{number:05}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{number % 3}"}
    amounts = {"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "500Gi"}
    meta = {"name": name, "uid": _uid(number), "resourceVersion": str(number + 1), "labels": labels}
    return json.dumps({"metadata": meta, "spec": {}, "status": {"allocatable": amounts, "capacity": amounts}}).encode()


def _uid(number: int) -> str:
    return f"{number:08x}-3f1c-4a55-9d7e-{number * 7919:012x}"


def _pod(number: int) -> bytes:
    """A running pod of a ReplicaSet, about 3 kB, as controllers and node agents leave it."""
    owner = number // _PODS_OF_ONE_OWNER
    app, template = f"service-{owner:04}", f"{owner * 31337 & 0xFFFFFFFFF:010x}"
    meta = {
        "name": f"{app}-{template}-{number % 46656:05}",
        "generateName": f"{app}-{template}-",
        "namespace": f"team-{owner % 200:03}",
        "uid": _uid(number + 10**7),
        "resourceVersion": str(10**6 + number),
        "creationTimestamp": "2026-11-28T12:00:00Z",
        "labels": {"app": app, "pod-template-hash": template, "tier": "front"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": f"{app}-{template}",
                "uid": _uid(owner),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    return json.dumps({"metadata": meta, "spec": _spec(number), "status": _status(number)}).encode()


def _spec(number: int) -> dict[str, Any]:
    token = f"kube-api-access-{number % 60466176:05}"
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10}
    container = {
        "name": "main",
        "image": f"registry.example/service-{number // _PODS_OF_ONE_OWNER:04}:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"SETTING_{one}", "value": f"value-{one}"} for one in range(6)],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [
            {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        ],
        "readinessProbe": probe,
        "livenessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]
    return {
        "volumes": [{"name": token, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        "containers": [container],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "nodeName": f"node-{number % _NODES:05}",
        "schedulerName": "default-scheduler",
        "tolerations": tolerations,
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }


def _status(number: int) -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-11-28T12:00:01Z"}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    running = {
        "name": "main",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "containerID": f"docker://{number:064x}",
    }
    return {
        "phase": "Running",
        "conditions": conditions,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": f"192.168.{number % _NODES >> 8}.{number % _NODES & 255}",
        "startTime": "2026-11-28T12:00:00Z",
        "containerStatuses": [{**running, "state": {"running": {"startedAt": "2026-11-28T12:00:01Z"}}}],
        "qosClass": "Burstable",
    }


async def _scheduler() -> None:
    from orchestrator.scheduler.shell import Scheduler  # noqa: PLC0415 - each part loads what its process loads

    async with FullCluster(ClientConfig(server="http://127.0.0.1:1")) as client:
        settle_memory()
        scheduler = Scheduler(client, SystemClock())
        task = asyncio.get_running_loop().create_task(scheduler.run(), name="scheduler")
        while not scheduler.has_synced:  # noqa: ASYNC110 - a benchmark may look every so often
            await asyncio.sleep(0.1)
        task.cancel()


def _megabytes() -> Iterator[float]:
    """The process' resident memory, and the most that it ever was."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    for name in ("VmRSS", "VmHWM"):
        yield int(fields[name].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run({"scheduler": _scheduler}[sys.argv[1]]())
    print(*(f"{megabytes:.0f}" for megabytes in _megabytes()))
