"""What runs on this machine that belongs to a lab: found by the marks in its environment, or by its cgroup."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.processes import MARK_LAB, MARK_NAME

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
PID_BYTES_MAX = 32

# Places in what `_stat` returns: the field's number in proc_pid_stat(5), less three.
STATE = 0
VIRTUAL_SIZE = 20
ENV_START = 47
ENV_END = 48

# The kernel is done with it within microseconds; only a program on a file system that hangs takes longer.
EXECUTION_POLL_S = 0.001
EXECUTION_POLLS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A living process that carries a lab's marks."""

    pid: int
    name: str


def marked_processes(state_dir: Path) -> tuple[Marked, ...]:
    """Every living process of the lab with this state directory, whoever started it."""
    lab = f"{MARK_LAB}={state_dir}".encode()
    prefix = f"{MARK_NAME}=".encode()
    found = []
    for pid in _pids():
        variables = environment_of(pid)
        if lab in variables:
            names = [variable.removeprefix(prefix).decode() for variable in variables if variable.startswith(prefix)]
            found.append(Marked(pid=pid, name=names[0] if names else ""))
    return tuple(found)


def running(name: str, *, run_dir: Path, state_dir: Path) -> int | None:
    """The id of the lab's process `name`, from its pid file, if that process lives and is the one meant."""
    pid = read_pid(run_dir / f"{name}.pid")
    if pid is None or not is_alive(pid):
        return None
    variables = environment_of(pid)
    marks = {f"{MARK_LAB}={state_dir}".encode(), f"{MARK_NAME}={name}".encode()}
    return pid if marks <= set(variables) else None


def read_pid(path: Path) -> int | None:
    """The number in a pid file; None if there is no such file or no number in it."""
    try:
        text = path.read_bytes()[:PID_BYTES_MAX].strip()
        return int(text)
    except (OSError, ValueError):
        return None


def is_alive(pid: int) -> bool:
    """Whether the process exists and has not ended yet (a zombie has)."""
    fields = _stat(pid)
    return bool(fields) and fields[STATE] not in ("Z", "X")


def environment_of(pid: int) -> tuple[bytes, ...]:
    """The variables the process was started with; nothing if it is gone, or one of the kernel's own.

    Whoever starts a program hears of it before its variables can be read: execve(2) lays them into the new memory
    last. That moment is waited for, or a daemon just started would pass for somebody else's.
    """
    for _ in range(EXECUTION_POLLS):
        try:
            content = (PROC / str(pid) / "environ").read_bytes()
        except OSError:
            break
        if content:
            return tuple(content.split(b"\0"))
        if not _may_get_variables(pid) or wait_gone(pid, EXECUTION_POLL_S):
            break
    return ()


def command_of(pid: int) -> tuple[str, ...]:
    """The command line of the process; nothing if it is gone, or one of the kernel's own."""
    try:
        return tuple((PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
    except OSError:
        return ()


def _may_get_variables(pid: int) -> bool:
    """Whether a process seen without variables is only just being executed, or was until a moment ago."""
    fields = _stat(pid)
    if not fields or fields[VIRTUAL_SIZE] == "0":
        return False
    return fields[ENV_START] == "0" or fields[ENV_START] != fields[ENV_END]


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on (a name in brackets comes before); empty if it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cgroups_of(prefix: str) -> tuple[Path, ...]:
    """The lab's cgroups in every hierarchy (v1 has several, v2 one), innermost first."""
    roots = [CGROUPS / prefix, *sorted(CGROUPS.glob(f"*/{prefix}"))]
    found: list[Path] = []
    for root in roots:
        if root.is_dir():
            found += [Path(directory) for directory, _, _ in os.walk(root, topdown=False)]
    return tuple(found)


def pids_in(cgroups: Iterable[Path]) -> frozenset[int]:
    """The processes in these cgroups."""
    pids: set[int] = set()
    for cgroup in cgroups:
        try:
            pids |= {int(line) for line in (cgroup / "cgroup.procs").read_text().split()}
        except OSError:
            continue
    return frozenset(pids)


def pids_in_networks(namespaces: Iterable[Path]) -> frozenset[int]:
    """The processes that live in these network namespaces, a shell that somebody opened there included."""
    identities = set()
    for path in namespaces:
        with suppress(OSError):
            identities.add((path.stat().st_dev, path.stat().st_ino))
    pids: set[int] = set()
    for pid in _pids():
        with suppress(OSError):
            status = (PROC / str(pid) / "ns" / "net").stat()
            if (status.st_dev, status.st_ino) in identities:
                pids.add(pid)
    return frozenset(pids)


def mounts_below(directory: Path) -> tuple[str, ...]:
    """The mount points below `directory`, innermost first."""
    points = []
    for line in (PROC / "self" / "mountinfo").read_text().splitlines():
        # The kernel writes a space in a path as \040.
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point.startswith(f"{directory}/"):
            points.append(point)
    return tuple(sorted(points, key=len, reverse=True))


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal each process that still exists."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def alive(pids: Sequence[int]) -> tuple[int, ...]:
    """Those of `pids` that still live."""
    return tuple(pid for pid in pids if is_alive(pid))


def wait_gone(pid: int, limit_s: float) -> bool:
    """Wait until the process has ended, blocking; whether it has within the limit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], limit_s)[0])
    finally:
        os.close(descriptor)


def _pids() -> tuple[int, ...]:
    return tuple(int(path.name) for path in PROC.iterdir() if path.name.isdigit())
