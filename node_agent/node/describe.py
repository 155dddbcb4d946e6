"""The Node object of this machine; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node_agent.runtime.base import Image, RuntimeInfo
from orchestrator.api import quantities
from orchestrator.api.objects import Object
from orchestrator.api.views.meta import Condition
from orchestrator.machinery.clock import timestamp

KUBELET_VERSION = "v1.36.0+wherry"
_GO_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}
# What Kubernetes shows at most, largest first.
_IMAGES_MAX = 50
_NAMES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the operating system says of itself."""

    machine_id: str = ""
    boot_id: str = ""
    system_uuid: str = ""
    disk_bytes: int = 0
    disk_free_bytes: int = 0
    memory_available_bytes: int = 0
    pids_max: int = 0
    pids: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Why the node is not ready; None where all is well."""

    runtime: str | None = None
    network: str | None = None


def labels_of(name: str, runtime: RuntimeInfo) -> dict[str, str]:
    """The labels that every node has."""
    architecture = _GO_ARCHITECTURE.get(runtime.architecture, runtime.architecture)
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture,
    }


def capacity_of(runtime: RuntimeInfo, machine: Machine, *, pods_max: int) -> dict[str, str]:
    """What the machine has."""
    return {
        "cpu": str(runtime.cpus),
        "memory": f"{runtime.memory_bytes // 1024}Ki",
        "pods": str(pods_max),
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }


def allocatable_of(capacity: Mapping[str, str], *, cpu_reserved: str, memory_reserved: str) -> dict[str, str]:
    """What pods may use: the capacity without what is kept for the system."""
    cpu_milli = quantities.parse_milli(capacity["cpu"]) - quantities.parse_milli(cpu_reserved)
    memory_bytes = quantities.parse_bytes(capacity["memory"]) - quantities.parse_bytes(memory_reserved)
    # Kubernetes keeps a tenth of the disk, below which it would evict.
    disk_bytes = quantities.parse_bytes(capacity["ephemeral-storage"]) * 9 // 10
    return {
        **capacity,
        "cpu": quantities.format_milli(max(0, cpu_milli)),
        "memory": f"{max(0, memory_bytes) // 1024}Ki",
        "ephemeral-storage": str(disk_bytes),
    }


def conditions_of(health: Health, machine: Machine, before: Sequence[Condition], now: float) -> list[Object]:
    """The node's conditions; the time of a transition is kept while the status stays."""
    wrong = [text for text in (health.runtime, health.network) if text is not None]
    if wrong:
        ready = ("Ready", "False", "KubeletNotReady", "; ".join(wrong))
    else:
        ready = ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    # Kubernetes' eviction thresholds: 100 MiB of memory, a tenth of the disk, a tenth of the process ids.
    little_memory = 0 < machine.memory_available_bytes < 100 << 20
    little_disk = machine.disk_bytes > 0 and machine.disk_free_bytes * 10 < machine.disk_bytes
    few_pids = machine.pids_max > 0 and machine.pids * 10 > machine.pids_max * 9
    rows = [
        _pressure("MemoryPressure", little_memory, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
        _pressure("DiskPressure", little_disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        _pressure("PIDPressure", few_pids, "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
        ready,
    ]
    old = {condition.type: condition for condition in before}
    shown = []
    for kind, status, reason, message in rows:
        last = old.get(kind)
        same = last is not None and last.status == status and last.last_transition_time
        shown.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": timestamp(now),
                "lastTransitionTime": last.last_transition_time if last is not None and same else timestamp(now),
            }
        )
    return shown


_PRESSURES = {
    "MemoryPressure": ("kubelet has insufficient memory available", "kubelet has sufficient memory available"),
    "DiskPressure": ("kubelet has disk pressure", "kubelet has no disk pressure"),
    "PIDPressure": ("kubelet has insufficient PID available", "kubelet has sufficient PID available"),
}


def _pressure(kind: str, pressed: bool, reason: str, reason_well: str) -> tuple[str, str, str, str]:
    message, message_well = _PRESSURES[kind]
    return (kind, "True", reason, message) if pressed else (kind, "False", reason_well, message_well)


def images_of(images: Sequence[Image]) -> list[Object]:
    """The node's images, largest first."""
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))[:_IMAGES_MAX]
    named = [(image, [*image.digests, *image.tags][:_NAMES_MAX]) for image in largest]
    return [{"names": names, "sizeBytes": image.size_bytes} for image, names in named if names]


def node_info(runtime: RuntimeInfo, machine: Machine) -> Object:
    """`status.nodeInfo`."""
    return {
        "machineID": machine.machine_id,
        "systemUUID": machine.system_uuid,
        "bootID": machine.boot_id,
        "kernelVersion": runtime.kernel,
        "osImage": runtime.operating_system,
        "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _GO_ARCHITECTURE.get(runtime.architecture, runtime.architecture),
    }
