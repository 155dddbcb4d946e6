"""Exec and attach over the engine's raw connection, on the event loop: no thread a session."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from node_agent.runtime.base import Channel
from node_agent.runtime.engine_api import FrameSplitter

_READ_SIZE = 64 * 1024

Resize = Callable[[int, int], Awaitable[None]]
ExitCode = Callable[[], Awaitable[int]]


class Closable(Protocol):
    """Something to close."""

    def close(self) -> None:
        """Close it."""
        ...


class SocketSession:
    """A `Session` on a connection that the engine has handed over. `owner` keeps its HTTP response alive till then."""

    def __init__(self, sock: socket.socket, *, tty: bool, owner: Closable, resize: Resize, exit_code: ExitCode) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._owner: Closable | None = owner
        self._resize = resize
        self._exit_code = exit_code
        self._frames = None if tty else FrameSplitter()
        self._ready: deque[tuple[Channel, bytes]] = deque()

    async def read(self) -> tuple[Channel, bytes] | None:
        """The next output, or None at its end."""
        loop = asyncio.get_running_loop()
        while not self._ready:
            try:
                data = await loop.sock_recv(self._socket, _READ_SIZE)
            except OSError:
                data = b""  # reset and closed are both the end
            if not data:
                return None
            if self._frames is None:
                self._ready.append((Channel.STDOUT, data))
            else:
                self._ready.extend((Channel(stream), piece) for stream, piece in self._frames.feed(data))
        return self._ready.popleft()

    async def write(self, data: bytes) -> None:
        """Send to its input; silently nothing once the process has closed it."""
        with suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def close_input(self) -> None:
        """End its input."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def resize(self, *, width: int, height: int) -> None:
        """Change its terminal's size."""
        await self._resize(width, height)

    async def wait_exit_code(self) -> int:
        """The process' exit code, once `read` has returned None."""
        return await self._exit_code()

    async def close(self) -> None:
        """Give the connection up; the process is not killed."""
        with suppress(OSError):
            self._socket.close()
            if self._owner is not None:
                self._owner.close()
        self._owner = None
