"""Reading what the operating system says of itself. Blocking, and fast."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from node_agent.node.describe import Machine

_CAP_SYS_RESOURCE = 24


def read_machine(disk: Path) -> Machine:
    """The machine as it is now; `disk` is where pods' files lie."""
    total = free = 0
    with suppress(OSError):
        found = os.statvfs(disk)
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    return Machine(
        machine_id=_text("/etc/machine-id").replace("-", ""),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid"),
        disk_bytes=total,
        disk_free_bytes=free,
        memory_available_bytes=_memory_available(),
        pids_max=int(_text("/proc/sys/kernel/pid_max") or 0),
        pids=_processes(),
    )


def oom_score_min() -> int:
    """The lowest oom_score_adj that this machine's processes may give: without CAP_SYS_RESOURCE, their own."""
    for line in _text("/proc/self/status").splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) & 1 << _CAP_SYS_RESOURCE:
            return -1000
    return int(_text("/proc/self/oom_score_adj") or 0)


def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text().strip()
    return ""


def _memory_available() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _processes() -> int:
    # The fourth field of loadavg is running/all, threads included, which is what pid_max counts.
    fields = _text("/proc/loadavg").split()
    return int(fields[3].partition("/")[2]) if len(fields) > 3 else 0
