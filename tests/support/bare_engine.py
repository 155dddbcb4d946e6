"""A Docker Engine for tests, in a network of its own, without a cluster: `python -m tests.support.bare_engine up|down`.

`up` prints what `DOCKER_HOST` has to be; `down` leaves nothing.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from orchestrator.lab import network, record
from orchestrator.lab.bring_up import specs_of, wait_for_engines, write_configurations
from orchestrator.lab.layout import free_subnet
from orchestrator.lab.processes import Rank
from orchestrator.lab.progress import PlainProgress
from orchestrator.lab.record import Record
from orchestrator.lab.supervisor import launch
from orchestrator.lab.teardown import tear_down
from orchestrator.machinery.clock import SystemClock

STATE_DIR = Path("/var/tmp/wherry-engine")


def start() -> str:
    """Start it and return its address."""
    kept = Record(
        nodes=1,
        subnet=free_subnet(network.taken_networks()),
        ip_forward=network.IP_FORWARD.read_text().strip(),
    )
    record.save(STATE_DIR, kept)
    lab = record.layout_of(STATE_DIR, kept)
    network.build(lab)
    write_configurations(lab, kept)
    launch(STATE_DIR, [spec for spec in specs_of(lab, kept) if spec.rank in (Rank.ENGINE, Rank.CONTAINERS)])
    clock = SystemClock()
    asyncio.run(wait_for_engines(lab, PlainProgress(clock, stream=sys.stderr), clock))
    return f"unix://{lab.nodes[0].engine_socket}"


def stop() -> None:
    """Stop it and remove everything of it."""
    asyncio.run(tear_down(STATE_DIR, purge=True, clock=SystemClock(), say=lambda _: None))


if __name__ == "__main__":
    if sys.argv[1:] == ["up"]:
        sys.stdout.write(start() + "\n")
    else:
        stop()
