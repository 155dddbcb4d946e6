"""Fixtures that component tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from orchestrator.machinery.client import Client
from tests.support.server import RunningServer, a_running_server, in_a_task


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """These tests run on the event loop that the daemons run on: it has properties, and faults, of its own."""
    return {"uvloop": uvloop.new_event_loop}


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
