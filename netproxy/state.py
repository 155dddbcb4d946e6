"""What was last known of the cluster, on disk: a proxy that starts while the API server is away goes on from there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from orchestrator.api.views.network import EndpointSlice, NodeView, Service

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
    path = directory / FILE_NAME
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(msgspec.msgpack.encode(state))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def load(directory: Path) -> ClusterState | None:
    """The state last saved; None if there is none that can be read."""
    try:
        state = msgspec.msgpack.decode((directory / FILE_NAME).read_bytes(), type=ClusterState)
    except (OSError, msgspec.DecodeError):
        return None
    return state if state.version == VERSION else None
