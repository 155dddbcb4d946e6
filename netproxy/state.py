"""What was last known of the cluster, on disk: a proxy that starts while the API server is away goes on from there."""

from __future__ import annotations

from pathlib import Path

import msgspec

from orchestrator.api.views.network import EndpointSlice, NodeView, Service
from orchestrator.machinery.whole_files import write_whole

# Raise it when a view changes its meaning: an older file is then ignored.
VERSION = 1
FILE_NAME = "cluster.msgpack"


class ClusterState(msgspec.Struct, frozen=True):
    """Every service and endpoint slice, and this node."""

    services: tuple[Service, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()
    node: NodeView | None = None
    version: int = VERSION


def save(directory: Path, state: ClusterState) -> None:
    """Write the state, whole or not at all. Raises `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(directory / FILE_NAME, msgspec.msgpack.encode(state))


def load(directory: Path) -> ClusterState | None:
    """The state last saved; None if there is none that can be read."""
    try:
        state = msgspec.msgpack.decode((directory / FILE_NAME).read_bytes(), type=ClusterState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return state if state.version == VERSION else None
