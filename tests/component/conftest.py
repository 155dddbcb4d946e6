"""Fixtures that component tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.server import RunningServer, a_running_server, in_a_task


@pytest.fixture
async def api_server() -> AsyncIterator[RunningServer]:
    """A running API server with a store in memory; see `tests/support/server.py`."""
    async with in_a_task(a_running_server()) as running:
        yield running
