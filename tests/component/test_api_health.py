"""What a server says of its own health, and that it ends rather than live on without a store."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.api.resources import CONFIGMAPS
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.store.base import StoreFailed
from orchestrator.store.memory import MemoryStore
from orchestrator.store.sqlite import SqliteStore
from tests.support.server import a_configmap, a_running_server


class IllStore(MemoryStore):
    """Takes writes, and says that it does not."""

    def failure(self) -> str | None:
        return "disk I/O error"


async def ask(url: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url + path) as response:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        return response.status, await response.text()


async def test_health_has_a_check_for_each_part() -> None:
    async with a_running_server(has_started=lambda: False) as server:
        assert await ask(server.url, "/livez") == (200, "ok")
        assert await ask(server.url, "/livez?verbose") == (
            200,
            "[+]ping ok\n[+]store ok\n[+]cache ok\nlivez check passed\n",
        )
        assert await ask(server.url, "/readyz") == (
            500,
            "[+]ping ok\n[+]store ok\n[+]cache ok\n[-]bootstrap failed: reason withheld\nreadyz check failed\n",
        )
        assert await ask(server.url, "/readyz?exclude=bootstrap&exclude=cache") == (200, "ok")
        assert await ask(server.url, "/readyz/bootstrap") == (500, "internal server error: not finished\n")
        assert await ask(server.url, "/healthz/store") == (200, "ok")


async def test_a_store_that_takes_no_writes_shows_in_livez() -> None:
    async with a_running_server(store=IllStore()) as server:
        status, text = await ask(server.url, "/livez")
        assert (status, "[-]store failed: reason withheld" in text) == (500, True)
        assert await ask(server.url, "/livez/store") == (500, "internal server error: disk I/O error\n")


class BreaksDown(sqlite3.Connection):
    """A disk that stops working for good."""

    is_broken = False

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if self.is_broken:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *args)


async def test_a_server_whose_store_has_failed_answers_those_who_wait_and_ends(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", clock=SystemClock(), connection=BreaksDown)
    assert isinstance(store._writer, BreaksDown)

    async def write(client: Any, name: str) -> None:
        body = a_configmap(name)
        await client.create(CONFIGMAPS, body, "default", into=bytes)

    with pytest.RaisesGroup(StoreFailed):
        async with asyncio.timeout(30), a_running_server(store=store) as server, server.client() as client:
            await write(client, "before")
            store._writer.is_broken = True
            writes = [write(client, f"w{number}") for number in range(30)]
            for outcome in await asyncio.gather(*writes, return_exceptions=True):
                assert isinstance(outcome, ApiError | Unreachable)
            await asyncio.Event().wait()
    await store.close()
