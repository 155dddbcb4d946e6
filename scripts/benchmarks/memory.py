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
from orchestrator.api.resources import (
    ENDPOINTS,
    ENDPOINTSLICES,
    LEASES,
    NODES,
    PODS,
    REPLICASETS,
    SERVICES,
    Resource,
)
from orchestrator.machinery.client import Client, Listing
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import Unreachable
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.machinery.metrics import INFORMER_OBJECTS
from orchestrator.machinery.tasks import settle_memory
from orchestrator.machinery.watch_stream import WatchEvent
from scripts.benchmarks.table import Context, Row

_NODES = 5_000
_PODS = 150_000
_PODS_OF_ONE_OWNER = 100
_BARS = {"scheduler": "<= 350 MB", "controllers": "<= 300 MB"}
#: Controllers' caches are full, and the first syncs of all owners are over.
_SETTLED_S = 20.0


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
        count, made = _CONTENT.get(resource, (0, _node))
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

    async def request(self, method: str, path: str, **_: Any) -> bytes:
        """Discovery of what there is; nobody's writes."""
        kinds = {"/api/v1": _CONTENT, "/apis/apps/v1": {REPLICASETS: ()}, "/apis/coordination.k8s.io/v1": {LEASES: ()}}
        if path == "/apis":
            groups = [{"name": name, "preferredVersion": {"version": "v1"}} for name in ("apps", "coordination.k8s.io")]
            return codec.encode({"groups": groups})
        if method != "GET" or path not in kinds:
            raise Unreachable(f"{method} {path}")
        verbs = ["list", "watch", "delete"]
        return codec.encode(
            {
                "resources": [
                    {"name": one.plural, "kind": one.kind, "namespaced": one.namespaced, "verbs": verbs}
                    for one in kinds[path]
                    if path.endswith(one.api_version)
                ]
            }
        )


def _node(number: int) -> bytes:
    name = f"node-{number:05}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{number % 3}"}
    amounts = {"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "500Gi"}
    meta = {"name": name, "uid": _uid(number), "resourceVersion": str(number + 1), "labels": labels}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": "2026-11-28T12:00:00Z"}
    status = {"allocatable": amounts, "capacity": amounts, "conditions": [ready]}
    cidr = f"10.{number >> 8 & 255}.{number & 255}.0/24"
    return json.dumps({"metadata": meta, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}, "status": status}).encode()


def _lease(number: int) -> bytes:
    meta = {"name": f"node-{number:05}", "namespace": "kube-node-lease", "uid": _uid(number + 10**8)}
    spec = {"holderIdentity": f"node-{number:05}", "renewTime": "2026-11-28T12:00:00.000000Z"}
    return json.dumps({"metadata": {**meta, "resourceVersion": str(number + 1)}, "spec": spec}).encode()


def _replicaset(owner: int) -> bytes:
    """What owns a hundred of the pods, as wanted and as reported."""
    app, template = _owner(owner)
    labels = {"app": app, "pod-template-hash": template, "tier": "front"}
    meta = {
        "name": f"{app}-{template}",
        "namespace": f"team-{owner % 200:03}",
        "uid": _uid(owner),
        "resourceVersion": str(owner + 1),
        "generation": 1,
        "labels": labels,
    }
    template_ = {"metadata": {"labels": labels}, "spec": _spec(owner * _PODS_OF_ONE_OWNER)}
    counts = dict.fromkeys(("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"), 100)
    spec = {"replicas": _PODS_OF_ONE_OWNER, "selector": {"matchLabels": labels}, "template": template_}
    status = {**counts, "terminatingReplicas": 0, "observedGeneration": 1}
    return json.dumps({"metadata": meta, "spec": spec, "status": status}).encode()


def _service(owner: int) -> bytes:
    """In front of one ReplicaSet's pods, with their addresses in a slice and, as of old, in Endpoints."""
    app, _ = _owner(owner)
    meta = _part_of(owner, app, 2 * 10**8, {})
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
    spec = {"type": "ClusterIP", "clusterIP": f"10.96.{owner >> 8}.{owner & 255}", "selector": {"app": app}}
    return json.dumps({"metadata": meta, "spec": {**spec, "ports": ports}}).encode()


def _slice(owner: int) -> bytes:
    app, _ = _owner(owner)
    managed = "endpointslice-controller.k8s.io"
    labels = {"kubernetes.io/service-name": app, "endpointslice.kubernetes.io/managed-by": managed}
    endpoints = [
        {
            "addresses": [_address(number)],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node-{number % _NODES:05}",
            "targetRef": _reference(number),
            "zone": f"zone-{number % _NODES % 3}",
        }
        for number in _pods_of(owner)
    ]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    meta = _part_of(owner, f"{app}-abcde", 3 * 10**8, labels)
    return json.dumps({"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}).encode()


def _endpoints(owner: int) -> bytes:
    app, _ = _owner(owner)
    addresses = [
        {"ip": _address(number), "nodeName": f"node-{number % _NODES:05}", "targetRef": _reference(number)}
        for number in sorted(_pods_of(owner), key=_address)
    ]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    meta = _part_of(owner, app, 4 * 10**8, {"endpoints.kubernetes.io/managed-by": "endpoint-controller"})
    return json.dumps({"metadata": meta, "subsets": [{"addresses": addresses, "ports": ports}]}).encode()


def _part_of(owner: int, name: str, uids: int, labels: dict[str, str]) -> dict[str, Any]:
    namespace = f"team-{owner % 200:03}"
    return {"name": name, "namespace": namespace, "uid": _uid(owner + uids), "resourceVersion": "1", "labels": labels}


def _pods_of(owner: int) -> range:
    return range(owner * _PODS_OF_ONE_OWNER, (owner + 1) * _PODS_OF_ONE_OWNER)


def _reference(number: int) -> dict[str, str]:
    owner = number // _PODS_OF_ONE_OWNER
    namespace = f"team-{owner % 200:03}"
    return {"kind": "Pod", "namespace": namespace, "name": _pod_name(number), "uid": _uid(number + 10**7)}


def _pod_name(number: int) -> str:
    app, template = _owner(number // _PODS_OF_ONE_OWNER)
    return f"{app}-{template}-{number % 46656:05}"


def _address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _owner(owner: int) -> tuple[str, str]:
    return f"service-{owner:04}", f"{owner * 31337 & 0xFFFFFFFFF:010x}"


def _moment(number: int) -> str:
    """When a pod came: four a second do."""
    second = number // 4
    return f"2026-11-{second // 86_400 + 1:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def _uid(number: int) -> str:
    return f"{number:08x}-3f1c-4a55-9d7e-{number * 7919:012x}"


def _pod(number: int) -> bytes:
    """A running pod of a ReplicaSet, about 3 kB, as controllers and node agents leave it."""
    owner = number // _PODS_OF_ONE_OWNER
    app, template = _owner(owner)
    meta = {
        "name": _pod_name(number),
        "generateName": f"{app}-{template}-",
        "namespace": f"team-{owner % 200:03}",
        "uid": _uid(number + 10**7),
        "resourceVersion": str(10**6 + number),
        "creationTimestamp": _moment(number),
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
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": _moment(number)}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    address = _address(number)
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


_CONTENT = {
    PODS: (_PODS, _pod),
    NODES: (_NODES, _node),
    REPLICASETS: (_PODS // _PODS_OF_ONE_OWNER, _replicaset),
    LEASES: (_NODES, _lease),
    SERVICES: (_PODS // _PODS_OF_ONE_OWNER, _service),
    ENDPOINTSLICES: (_PODS // _PODS_OF_ONE_OWNER, _slice),
    ENDPOINTS: (_PODS // _PODS_OF_ONE_OWNER, _endpoints),
}


async def _controllers() -> None:
    from orchestrator.controllers.context import ControllersConfig  # noqa: PLC0415 - see below
    from orchestrator.controllers.registry import run_all  # noqa: PLC0415 - each part loads what its process loads

    async with FullCluster(ClientConfig(server="http://127.0.0.1:1")) as client:
        settle_memory()
        config = ControllersConfig(node_monitor_grace_s=3600.0)  # no heartbeats come here
        task = asyncio.get_running_loop().create_task(run_all(client, SystemClock(), config), name="controllers")
        held = INFORMER_OBJECTS.labels(PODS.plural)
        while held._value.get() < _PODS:  # noqa: ASYNC110 - a benchmark may look every so often
            await asyncio.sleep(0.1)
        await asyncio.sleep(_SETTLED_S)
        task.cancel()


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
    asyncio.run({"scheduler": _scheduler, "controllers": _controllers}[sys.argv[1]]())
    print(*(f"{megabytes:.0f}" for megabytes in _megabytes()))
