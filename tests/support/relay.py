"""A data path of one or more real worker processes on loopback, and back ends for it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from netproxy.forward.pool import WorkerPool
from netproxy.rules import Backend, Frontend, Rule
from orchestrator.machinery.clock import SystemClock

# Every test process has an address of its own, so that tests run side by side: a worker's listeners share their port
# with any other's on the same address. The kernel's process ids have 22 bits, and all of them tell.
ADDRESS = f"127.{64 + (os.getpid() >> 16)}.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
_ports = itertools.count(20_000)


def a_free_port() -> int:
    """A port of `ADDRESS` that nobody else uses, neither for TCP nor for UDP."""
    return next(_ports)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class DataPath:
    """What a test needs to change rules and see what came of it."""

    pool: WorkerPool
    rules: dict[Frontend, Rule] = field(default_factory=dict)

    async def put(self, frontend: Frontend, rule: Rule | None) -> None:
        """Set or remove one rule, and wait until it holds."""
        if rule is None:
            self.rules.pop(frontend, None)
        else:
            self.rules[frontend] = rule
        self.pool.apply(self.rules)
        async with asyncio.timeout(10):
            await self.pool.wait_applied(self.pool.serial)

    async def expose(self, *ports: int, protocol: str = "TCP", affinity_s: int = 0) -> Frontend:
        """A new frontend that leads to `ports` of this machine."""
        frontend = Frontend(protocol, ADDRESS, a_free_port())
        await self.put(frontend, a_rule(*ports, affinity_s=affinity_s))
        return frontend


def a_rule(*ports: int, affinity_s: int = 0, sources: Sequence[str] = ()) -> Rule:
    return Rule("default/web", tuple(Backend("127.0.0.1", port) for port in ports), affinity_s, tuple(sources))


@contextlib.asynccontextmanager
async def a_data_path(workers: int = 1) -> AsyncIterator[DataPath]:
    pool = WorkerPool(workers, SystemClock())
    task = asyncio.create_task(pool.run())
    try:
        yield DataPath(pool)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def a_backend(talk: Talk) -> AsyncIterator[int]:
    """A TCP server that runs `talk` for each connection; its port."""

    async def tolerant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(tolerant, "127.0.0.1", 0, limit=1 << 20)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


def saying(text: bytes) -> Talk:
    """A back end that says who it is and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return talk


@contextlib.contextmanager
def a_dead_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody can: it is held meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def hang_up_hard(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def dial(frontend: Frontend) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(frontend.address, frontend.port, limit=1 << 20)


async def ask(frontend: Frontend) -> bytes:
    """Connect, and read until the other side hangs up."""
    reader, writer = await dial(frontend)
    try:
        return await reader.read()
    finally:
        writer.close()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Return once a condition of another process holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process changes it: there is no event to wait for
            await asyncio.sleep(0.01)
