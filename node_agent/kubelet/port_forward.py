"""`kubectl port-forward`: SPDY streams inside a WebSocket, two for each connection: one for errors, one for bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import WSMsgType, web

from node_agent.kubelet.spdy import BadFrame, Data, Framer, Open, Ping, Reset

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

    async def run(self) -> None:
        """Carry bytes both ways until the client leaves or speaks nonsense."""
        connections: set[asyncio.Task[None]] = set()
        try:
            async for message in self._client:
                if message.type is not WSMsgType.BINARY:
                    continue
                for frame in self._framer.feed(message.data):
                    match frame:
                        case Open(stream, headers, _):
                            await self._opened(stream, dict(headers), connections)
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
        except (BadFrame, ConnectionError):
            return
        finally:
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _opened(self, stream: int, headers: dict[str, str], connections: set[asyncio.Task[None]]) -> None:
        port, request = headers.get("port", ""), headers.get("requestid", "")
        kind = headers.get("streamtype", "")
        if kind not in ("error", "data") or not port.isdigit() or len(connections) >= _CONNECTIONS_MAX:
            await self._client.send_bytes(self._framer.reset(stream))
            return
        await self._client.send_bytes(self._framer.reply(stream))
        if kind == "error":
            self._errors[request] = stream
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue(_PIECES_MAX)
        self._inputs[stream] = queue
        task = asyncio.ensure_future(self._connect(stream, int(port), self._errors.pop(request, 0), queue))
        connections.add(task)
        task.add_done_callback(connections.discard)

    async def _connect(self, stream: int, port: int, errors: int, queue: asyncio.Queue[bytes]) -> None:
        loop = asyncio.get_running_loop()
        why = b""
        try:
            with await self._open_socket() as sock:
                async with asyncio.timeout(_DIAL_TIMEOUT_S):
                    await loop.sock_connect(sock, ("127.0.0.1", port))
                await self._carry(stream, sock, queue)
        except (OSError, TimeoutError) as lost:
            why = f"error forwarding port {port} to pod {self._pod}: {lost}".encode()
        finally:
            self._inputs.pop(stream, None)
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

        sending = asyncio.ensure_future(inward())
        try:
            while data := await loop.sock_recv(sock, _READ_SIZE):
                await self._client.send_bytes(self._framer.data(stream, data))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
