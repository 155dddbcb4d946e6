"""Stopping a lab, whatever state it is in: nothing of it is left but its files, and with purge not those either.

It relies on nothing that the lab's own processes would have to do: half-failed starts and killed processes are stopped
the same way. What belongs to the lab is found on the machine, by marks, cgroups and names; records only speed it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from orchestrator.lab import machine, network, observed
from orchestrator.lab.engine import Engine, EngineRefused, EngineUnreachable
from orchestrator.lab.layout import LabLayout
from orchestrator.lab.processes import SUPERVISOR, Rank
from orchestrator.lab.record import FILE, Record, layout_of, load
from orchestrator.lab.supervisor import read_specs
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

Say = Callable[[str], None]

GRACE_S: dict[Rank, float] = {
    Rank.DAEMON: 8.0,
    Rank.CONTROL_PLANE: 10.0,
    Rank.ENGINE: 15.0,
    # A container's shim ignores SIGTERM, and is gone already if its engine could be asked to remove the container.
    Rank.CONTAINERS: 3.0,
    Rank.REGISTRY: 3.0,
}
KILL_S = 10.0
POLL_S = 0.05
SHIM_SOCKETS = Path("/run/containerd/s")
PLUGIN_DIRECTORIES = (Path("/run/docker/plugins"), Path("/run/docker"))
POD_LABEL = "io.wherry.kind"
"""What the node agent labels every container of a pod with."""
POD_NETWORK = "wherry"
"""What the node agent calls its network in the engine."""
_NO_SUBNET = "192.0.2.0/24"


class NotAStateDirectory(Exception):
    """Refusal to purge a directory that no lab was ever started in."""


async def tear_down(state_dir: Path, *, purge: bool, clock: Clock, say: Say) -> tuple[bool, list[str]]:
    """Stop the lab in `state_dir`. Returns whether there was anything to stop, and what could not be removed."""
    record = load(state_dir)
    if purge and record is None and state_dir.exists() and any(state_dir.iterdir()):
        raise NotAStateDirectory(f"cannot purge '{state_dir}': it has no {FILE}, so no cluster was started in it")
    known = record or Record(nodes=1, subnet=_NO_SUBNET)
    lab = layout_of(state_dir, known)
    namespaces = network.observe(lab).namespaces
    was_there = bool(observed.marked_processes(state_dir) or namespaces)
    ranks = _ranks(state_dir)

    await _end(_named(state_dir, lambda name: name == SUPERVISOR), 2.0, clock)
    for rank in sorted(Rank):
        if rank is Rank.ENGINE:
            if lab.single:
                await asyncio.to_thread(machine.clean_up_components, lab)
            await _remove_containers(lab, known)
        chosen = _named(state_dir, lambda name, rank=rank: ranks.get(name, Rank.DAEMON) is rank)  # type: ignore[misc]
        if chosen:
            say(f"stopping {_described(rank)}")
            await _end(chosen, GRACE_S[rank], clock)
    left = await _sweep(lab, clock)
    left += await asyncio.to_thread(_remove_mounts, state_dir)
    say("removing the network")
    left += await asyncio.to_thread(network.remove, lab, ip_forward=known.ip_forward)
    if lab.single:
        left += await asyncio.to_thread(_restore_machine, known)
    left += await _remove_cgroups(lab, clock)
    remove_stale_sockets(SHIM_SOCKETS)
    _remove_empty(*PLUGIN_DIRECTORIES)
    shutil.rmtree(state_dir / "run", ignore_errors=True)
    if purge and state_dir.exists():
        say(f"removing {state_dir}")
        await asyncio.to_thread(
            shutil.rmtree, state_dir, onerror=lambda _, path, info: left.append(f"{path}: {info[1]}")
        )
    elif record is not None:
        for node in lab.nodes:
            for name in ("docker.sock", "docker.pid", "containerd.sock", "containerd.sock.ttrpc"):
                (node.directory / name).unlink(missing_ok=True)
    return was_there, left


def _restore_machine(record: Record) -> list[str]:
    """Undo what an engine that ran for us did to the machine."""
    try:
        if record.machine_unit:
            machine.stop_engine_unit()
        return machine.remove_engine_rules(policy=record.forward_policy) if record.forward_policy else []
    except network.CommandFailed as failed:
        return [str(failed)]


def _ranks(state_dir: Path) -> dict[str, Rank]:
    try:
        return {spec.name: spec.rank for spec in read_specs(state_dir / "run" / "processes.json")}
    except (OSError, ValueError, KeyError):
        return {}


def _described(rank: Rank) -> str:
    return {
        Rank.DAEMON: "node agents and proxies",
        Rank.CONTROL_PLANE: "the control plane",
        Rank.ENGINE: "Docker Engines",
        Rank.CONTAINERS: "containerd",
        Rank.REGISTRY: "the image registry",
    }[rank]


def _named(state_dir: Path, wanted: Callable[[str], bool]) -> Callable[[], tuple[int, ...]] | None:
    """A way to look up those processes again and again; None if there are none at all."""

    def find() -> tuple[int, ...]:
        return tuple(marked.pid for marked in observed.marked_processes(state_dir) if wanted(marked.name))

    return find if find() else None


async def _end(find: Callable[[], Sequence[int]] | None, grace_s: float, clock: Clock) -> None:
    """Ask the processes to end, and kill those that have not after the grace."""
    if find is None:
        return
    pids = find()
    observed.send(pids, signal.SIGTERM)
    await _wait_until(lambda: not observed.alive(pids), grace_s, clock)
    observed.send(find(), signal.SIGKILL)
    await _wait_until(lambda: not find(), KILL_S, clock)


async def _wait_until(condition: Callable[[], bool], limit_s: float, clock: Clock) -> bool:
    deadline = clock.monotonic() + limit_s
    while not condition():
        if clock.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _remove_containers(lab: LabLayout, record: Record) -> None:
    """Ask each engine to remove what is the lab's; an engine that is down has its containers swept later."""
    label = POD_LABEL if record.machine_engine else ""  # the machine's own engine may have other users
    async with asyncio.TaskGroup() as group:
        for node in lab.nodes:
            group.create_task(asyncio.to_thread(_empty_engine, node.engine_socket, label), name=f"empty {node.name}")


def _empty_engine(socket_path: Path, label: str) -> None:
    engine = Engine(socket_path)
    try:
        for container in engine.containers(label=label):
            engine.remove_container(container)
        for identity, name in engine.networks().items():
            if not label or name == POD_NETWORK:
                engine.remove_network(identity)
    except (EngineUnreachable, EngineRefused) as exc:
        logger.info("lab.engine_not_emptied", socket=str(socket_path), why=str(exc))


async def _sweep(lab: LabLayout, clock: Clock) -> list[str]:
    """Kill whatever is still there: marked, in a cgroup of the lab's, or in one of its networks."""

    def survivors() -> frozenset[int]:
        marked = {process.pid for process in observed.marked_processes(lab.state_dir)}
        contained = observed.pids_in(observed.cgroups_of(lab.prefix))
        networks = observed.pids_in_networks(network.NAMESPACES.glob(f"{lab.prefix}-*"))
        return frozenset(marked | contained | networks) - {os.getpid()}

    def none_left() -> bool:
        left = survivors()
        observed.send(left, signal.SIGKILL)
        return not left

    if await _wait_until(none_left, KILL_S, clock):
        return []
    return [f"process {pid} does not end" for pid in sorted(survivors())]


def _remove_mounts(state_dir: Path) -> list[str]:
    mounts = observed.mounts_below(state_dir)
    failures = []
    for point in mounts:
        try:
            network.run(("umount", point))
        except network.CommandFailed:
            try:
                network.run(("umount", "--lazy", point))
            except network.CommandFailed as failed:
                failures.append(str(failed))
    return failures


async def _remove_cgroups(lab: LabLayout, clock: Clock) -> list[str]:
    """Remove the lab's cgroups; the kernel lets go of one a moment after its last process."""

    def gone() -> bool:
        for cgroup in observed.cgroups_of(lab.prefix):
            with contextlib.suppress(OSError):
                cgroup.rmdir()
        return not observed.cgroups_of(lab.prefix)

    if await _wait_until(gone, KILL_S, clock):
        return []
    return [f"cgroup {cgroup} is still there" for cgroup in observed.cgroups_of(lab.prefix)]


def remove_stale_sockets(directory: Path) -> None:
    """A killed shim leaves its socket behind, in a directory that all containerds of a machine share.

    Such directories are removed as well if nothing of anybody else is in them.
    """
    for path in _sockets(directory):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue
    _remove_empty(directory, directory.parent)


def _remove_empty(*directories: Path) -> None:
    for directory in directories:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _sockets(directory: Path) -> Iterable[Path]:
    if not directory.is_dir():
        return ()
    return [path for path in directory.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)]
