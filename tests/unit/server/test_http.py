"""One connection of the API server, without a socket: what counts as a head that is coming."""

from __future__ import annotations

import asyncio

from aiohttp import web

from orchestrator.machinery.clock import SystemClock
from orchestrator.server.connections import ConnectionLimits, Connections
from orchestrator.server.http import Connection, Ticket


class Pipe(asyncio.Transport):
    """Where the connection writes to."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def a_connection(bodies: asyncio.Queue[bytes]) -> Connection:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        bodies.put_nowait(await request.read())
        return web.Response()

    connection = Connection(
        web.Server(answer), Connections(ConnectionLimits(), SystemClock()), Ticket(), loop=asyncio.get_running_loop()
    )
    connection.connection_made(Pipe())
    return connection


async def test_no_head_is_waited_for_once_a_request_with_a_body_has_been_read() -> None:
    """Reading a body has aiohttp look for more where there is nothing: a connection that is idle then is only that."""
    bodies: asyncio.Queue[bytes] = asyncio.Queue()
    connection = await a_connection(bodies)
    assert connection._head_timer is not None, "the first head is waited for"
    connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert connection._head_timer is None
    assert await bodies.get() == b"abc"
    connection.data_received(b"")
    assert connection._head_timer is None
    connection.data_received(b"GET / HT")
    assert connection._head_timer is not None, "a head that comes in pieces has its time"
    connection.connection_lost(None)
