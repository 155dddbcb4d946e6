"""Fixtures that component tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.machinery.client import Client
from tests.support.server import RunningServer, a_running_server, in_a_task


@pytest.fixture
async def api_server() -> AsyncIterator[RunningServer]:
    """A running API server with a store in memory; see `tests/support/server.py`."""
    async with in_a_task(a_running_server()) as running:
        yield running


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    """A running API server on SQLite, as it is in earnest."""
    async with in_a_task(a_running_server(path=tmp_path / "store.db")) as server:
        yield server


@pytest.fixture
async def client(running: RunningServer) -> AsyncIterator[Client]:
    """A client of `running`, who may do anything."""
    async with running.client() as client:
        yield client
