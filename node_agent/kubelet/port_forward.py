"""`kubectl port-forward`: SPDY streams inside a WebSocket, two for each connection: one for errors, one for bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from aiohttp import WSMsgType, web

from node_agent.kubelet.spdy import BadFrame, Data, Frame, Framer, Open, Ping, Reset
from orchestrator.api.numbers import BadNumber, parse_uint64
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.sockets import words_of

logger = get_logger(__name__)

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_READ_SIZE = 32 * 1024
# Pieces that wait for one slow connection before the others have to wait with it.
_PIECES_MAX = 64
_CONNECTIONS_MAX = 256
_DIAL_TIMEOUT_S = 10.0

# Opens a socket in the pod's network, not connected yet.
OpenSocket = Callable[[], Awaitable[socket.socket]]


class PortForward:
    """One client's forwarded ports. `run` returns when the client leaves."""

    def __init__(self, client: web.WebSocketResponse, open_socket: OpenSocket, *, pod: str) -> None:
        self._client = client
        self._open_socket = open_socket
        self._pod = pod
        self._framer = Framer()
        self._inputs: dict[int, asyncio.Queue[bytes]] = {}
        self._errors: dict[str, int] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Carry bytes both ways until the client leaves or speaks nonsense."""
        async with asyncio.TaskGroup() as connections:
            try:
                async for message in self._client:
                    if message.type is WSMsgType.BINARY:
                        for frame in self._framer.feed(message.data):
                            await self._heard(frame, connections)
            except (BadFrame, ConnectionError) as lost:
                logger.info("port-forward.lost", pod=self._pod, why=str(lost)[:256])
            for task in self._connections:
                task.cancel()

    async def _heard(self, frame: Frame, connections: asyncio.TaskGroup) -> None:
        match frame:
            case Open(stream, headers, _):
                await self._opened(stream, headers, connections)
            case Data(stream, data, fin) if stream in self._inputs:
                queue = self._inputs[stream]
                if data:
                    await queue.put(data)
                if fin:
                    await queue.put(b"")
            case Reset(stream) if stream in self._inputs:
                await self._inputs[stream].put(b"")
            case Ping(number):
                await self._client.send_bytes(self._framer.ping(number))

    async def _opened(self, stream: int, headers: Mapping[str, str], connections: asyncio.TaskGroup) -> None:
        port, request = headers.get("port", ""), headers.get("requestid", "")
        number = _port_of(port)
        kind = headers.get("streamtype", "")
        busy = max(len(self._connections), len(self._errors)) >= _CONNECTIONS_MAX
        if kind not in ("error", "data") or number is None or busy:
            await self._client.send_bytes(self._framer.reset(stream))
            return
        await self._client.send_bytes(self._framer.reply(stream))
        if kind == "error":
            self._errors[request] = stream
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue(_PIECES_MAX)
        self._inputs[stream] = queue
        connecting = self._connect(stream, number, self._errors.pop(request, 0), queue)
        task = connections.create_task(connecting, name=f"port-forward-{self._pod}-{port}")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, stream: int, port: int, errors: int, queue: asyncio.Queue[bytes]) -> None:
        loop = asyncio.get_running_loop()
        why = b""
        try:
            with await self._open_socket() as sock:
                async with asyncio.timeout(_DIAL_TIMEOUT_S):
                    await loop.sock_connect(sock, ("127.0.0.1", port))
                await self._carry(stream, sock, queue)
        except* (OSError, TimeoutError) as lost:
            said = f"dial tcp4 127.0.0.1:{port}: connect: {_words_of(lost)}"
            why = f"error forwarding port {port} to pod {self._pod}: {said}".encode()
        finally:
            self._inputs.pop(stream, None)
            # Who waits to add a piece would wait for ever, and everybody's frames behind it.
            while not queue.empty():
                queue.get_nowait()
        with suppress(ConnectionError):
            await self._client.send_bytes(self._framer.data(stream, b"", fin=True))
            if errors:
                await self._client.send_bytes(self._framer.data(errors, why, fin=True))

    async def _carry(self, stream: int, sock: socket.socket, queue: asyncio.Queue[bytes]) -> None:
        """Both ways until the pod's side has sent all; what the client sends after that nobody reads."""
        loop = asyncio.get_running_loop()

        async def inward() -> None:
            while data := await queue.get():
                await loop.sock_sendall(sock, data)
            sock.shutdown(socket.SHUT_WR)

        async def outward() -> None:
            while data := await loop.sock_recv(sock, _READ_SIZE):
                await self._client.send_bytes(self._framer.data(stream, data))

        async with asyncio.TaskGroup() as ways:
            sending = ways.create_task(inward(), name="port-forward-in")
            await outward()
            sending.cancel()


def _words_of(failure: BaseException) -> str:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return words_of(failure) if isinstance(failure, OSError) else "connection failed"


def _port_of(text: str) -> int | None:
    """The number of a port as clients write it; None for what is none."""
    try:
        number = parse_uint64(text)
    except BadNumber:
        return None
    return number if 0 < number <= 65535 else None
