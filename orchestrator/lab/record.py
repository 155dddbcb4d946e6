"""What `up` decided and changed on this machine, kept in the state directory for the commands that come later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.lab.layout import LabLayout, lay_out, lay_out_single
from orchestrator.machinery.whole_files import write_whole

FILE = "lab.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A lab's decisions. Its file is also the proof that a directory is a state directory, and may be purged."""

    nodes: int
    """How many nodes in namespaces; 0: the machine itself is the node."""
    subnet: str = ""
    ip_forward: str = ""
    """The host's `net.ipv4.ip_forward` before `up`, to be put back."""
    hub: bool = False
    """Docker Hub was reachable: its images come through the pull-through cache."""
    machine_name: str = ""
    machine_address: str = ""
    machine_engine: str = ""
    """The socket of the machine's own engine, with `nodes` 0; empty: the lab runs one for it."""
    machine_unit: bool = False
    """The machine's engine was started for the lab, by systemd, and is to be stopped with it."""
    forward_policy: str = ""
    """The host's policy for forwarded packets before an engine of ours ran on it; empty: an engine ran already."""


def save(state_dir: Path, record: Record) -> None:
    """Keep `record`; replaces an earlier one in one step."""
    state_dir.mkdir(parents=True, exist_ok=True)
    write_whole(state_dir / FILE, json.dumps(asdict(record), indent=1).encode() + b"\n")


def load(state_dir: Path) -> Record | None:
    """The lab's record; None if no lab was ever started here."""
    try:
        return Record(**json.loads((state_dir / FILE).read_bytes()))
    except FileNotFoundError:
        return None


def layout_of(state_dir: Path, record: Record) -> LabLayout:
    """Where everything of the recorded lab is."""
    if record.nodes:
        return lay_out(state_dir, nodes=record.nodes, subnet=record.subnet)
    engine = Path(record.machine_engine) if record.machine_engine else None
    return lay_out_single(state_dir, name=record.machine_name, address=record.machine_address, engine_socket=engine)
