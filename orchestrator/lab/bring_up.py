"""Starting a lab: the way from a bare machine to Ready nodes. Every step is safe to repeat, so `up` again mends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab import machine, network, observed, record, registry, standins
from orchestrator.lab.engine import Engine
from orchestrator.lab.images import load_standins
from orchestrator.lab.layout import LabLayout, free_subnet
from orchestrator.lab.processes import (
    SUPERVISOR,
    ProcessSpec,
    containerd_config,
    dockerd_config,
    orchestrator_config,
    processes_of,
)
from orchestrator.lab.progress import Progress
from orchestrator.lab.record import Record
from orchestrator.lab.supervisor import launch, read_specs
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.whole_files import write_whole

logger = get_logger(__name__)

NODES_DEFAULT = 3
MACHINE_ENGINE = Path("/var/run/docker.sock")
ENGINE_S = 60.0
PROCESS_S = 20.0
POLL_S = 0.05


class CannotStart(Exception):
    """The lab cannot be brought up as asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `up` was asked for. `nodes` None: as last time, else three."""

    state_dir: Path
    nodes: int | None = None
    demo: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A lab whose processes run. `fresh`: they did not all run before."""

    lab: LabLayout
    record: Record
    fresh: bool


async def start_processes(wanted: Wanted, progress: Progress, clock: Clock) -> Started:
    """Network, configuration and processes: started, not yet answering."""
    kept = await _decide(wanted)
    lab = record.layout_of(wanted.state_dir, kept)
    specs = specs_of(lab, kept)
    if _all_running(lab, specs):
        return Started(lab=lab, record=kept, fresh=False)
    record.save(lab.state_dir, kept)
    if not lab.single:
        with progress.step(f"Network {lab.subnet} with {len(lab.nodes)} nodes"):
            await asyncio.to_thread(network.build, lab)
    write_configurations(lab, kept)
    _launch(lab, specs)
    return Started(lab=lab, record=kept, fresh=True)


def specs_of(lab: LabLayout, kept: Record) -> tuple[ProcessSpec, ...]:
    """The processes of the recorded lab."""
    own_engines = not kept.machine_engine
    resolv_conf = str(network.RESOLV_CONF) if lab.single else network.resolv_conf_for_nodes()
    hub = kept.hub and own_engines
    return processes_of(lab, own_engines=own_engines, registry=own_engines, hub=hub, resolv_conf=resolv_conf)


async def _decide(wanted: Wanted) -> Record:
    """Keep to what was decided when this lab was first started; decide the rest by looking at the machine."""
    before = record.load(wanted.state_dir)
    if before is not None:
        if wanted.nodes is None or wanted.nodes == before.nodes:
            return before
        if observed.marked_processes(wanted.state_dir):
            raise CannotStart(
                f"a cluster with {before.nodes} nodes runs in '{wanted.state_dir}'; stop it with scripts/down first"
            )
    nodes = NODES_DEFAULT if wanted.nodes is None else wanted.nodes
    hub = await asyncio.to_thread(registry.hub_is_reachable)
    if nodes == 0:
        return await asyncio.to_thread(_decide_single, hub)
    return Record(
        nodes=nodes,
        subnet=before.subnet if before and before.subnet else free_subnet(network.taken_networks()),
        ip_forward=network.IP_FORWARD.read_text().strip(),
        hub=hub,
    )


def _decide_single(hub: bool) -> Record:
    """Use the engine that runs; else the one that systemd can start; else run one."""
    forwarding = network.IP_FORWARD.read_text().strip()
    policy = "" if machine.has_engine_rules() else machine.forward_policy()
    answering = Engine(MACHINE_ENGINE).answers()
    unit = not answering and machine.start_engine_unit()
    return Record(
        nodes=0,
        hub=hub,
        ip_forward=forwarding,
        machine_name=socket.gethostname().split(".")[0].lower(),
        machine_address=network.machine_address(),
        machine_engine=str(MACHINE_ENGINE) if answering or unit else "",
        machine_unit=unit,
        forward_policy="" if answering else policy,
    )


def _all_running(lab: LabLayout, specs: tuple[ProcessSpec, ...]) -> bool:
    names = (SUPERVISOR, *(spec.name for spec in specs))
    return all(observed.running(name, run_dir=lab.run_dir, state_dir=lab.state_dir) for name in names)


def mirrors_of(lab: LabLayout, kept: Record) -> tuple[str, ...]:
    """Where nodes ask for images before Docker Hub, in order."""
    return (lab.hub_mirror, lab.registry) if kept.hub else (lab.registry,)


def write_configurations(lab: LabLayout, kept: Record) -> None:
    """Write the files that the lab's processes are started with."""
    own = lab.state_dir / "registry"
    own.mkdir(parents=True, exist_ok=True)
    write_whole(
        own / "registry.yaml", registry.registry_config(address=lab.registry, directory=own / "images").encode()
    )
    if kept.hub:
        config = registry.registry_config(address=lab.hub_mirror, directory=own / "hub", remote=registry.HUB)
        write_whole(own / "hub-mirror.yaml", config.encode())
    write_whole(lab.state_dir / "orchestrator.yaml", orchestrator_config(lab).encode())
    for node in lab.nodes:
        node.directory.mkdir(parents=True, exist_ok=True)
        write_whole(node.directory / "containerd.toml", containerd_config(node).encode())
        settings = dockerd_config(lab, node, mirrors=mirrors_of(lab, kept))
        write_whole(node.directory / "daemon.json", json.dumps(settings, indent=1).encode() + b"\n")


def _launch(lab: LabLayout, specs: tuple[ProcessSpec, ...]) -> None:
    """Start the supervisor. One that runs already is replaced if it keeps other processes; they are adopted."""
    running = observed.running(SUPERVISOR, run_dir=lab.run_dir, state_dir=lab.state_dir)
    if running is not None:
        if read_specs(lab.run_dir / "processes.json") == specs:
            return
        os.kill(running, signal.SIGTERM)
        observed.wait_gone(running, PROCESS_S)
    launch(lab.state_dir, specs)


async def wait_for_engines(lab: LabLayout, progress: Progress, clock: Clock) -> None:
    """Wait until every node's engine answers."""
    with progress.step("Docker Engines"):
        for node in lab.nodes:
            engine = Engine(node.engine_socket)
            log = lab.log_dir / f"{node.name}-dockerd.log"
            await wait_for(f"the Docker Engine of {node.name} (its log is {log})", engine.answers, ENGINE_S, clock)


async def provide_images(lab: LabLayout, kept: Record, progress: Progress, clock: Clock) -> None:
    """See that the nodes can pull the demo's images: from Docker Hub, or as stand-ins from the lab's registry."""
    if kept.machine_engine:
        await _load_into_machine_engine(lab, kept, progress)
        return
    with progress.step(
        "Images" if kept.hub else "Images: stand-ins from Debian packages, as Docker Hub is out of reach"
    ):
        own = registry.Registry(lab.registry)
        log = lab.log_dir / "registry.log"
        await wait_for(f"the image registry (its log is {log})", own.answers, PROCESS_S, clock)
        await asyncio.to_thread(_push_missing, lab, kept, own)


def _push_missing(lab: LabLayout, kept: Record, own: registry.Registry) -> None:
    sources = [own, registry.Registry(lab.hub_mirror)] if kept.hub else [own]
    missing = [name for name in standins.NAMES if not any(source.has(name) for source in sources)]
    if not missing:
        return
    for image in standins.build(standins.download(lab.state_dir)):
        if image.name in missing:
            own.push(image)


async def _load_into_machine_engine(lab: LabLayout, kept: Record, progress: Progress) -> None:
    """The machine's own engine is not told of our registry: give it the stand-ins that it could not pull."""
    if kept.hub:
        return
    with progress.step("Images: stand-ins from Debian packages, as Docker Hub is out of reach"):
        await asyncio.to_thread(load_standins, Path(kept.machine_engine), lab.state_dir)


async def wait_for(what: str, condition: Callable[[], bool], limit_s: float, clock: Clock) -> None:
    """Wait until `condition` (a quick blocking call) holds; raises `CannotStart` naming `what` past the limit."""

    async def met() -> bool:
        return await asyncio.to_thread(condition)

    await wait_until(what, met, limit_s, clock)


async def wait_until(what: str, condition: Callable[[], Awaitable[bool]], limit_s: float, clock: Clock) -> None:
    """The same for a condition that awaits."""
    deadline = clock.monotonic() + limit_s
    while not await condition():
        if clock.monotonic() > deadline:
            raise CannotStart(f"waited {limit_s:.0f} s in vain for {what}")
        await asyncio.sleep(POLL_S)
