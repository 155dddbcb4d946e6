"""Forwarded ports whose pod does not do what its client hopes for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

from aiohttp import WSMessage, WSMsgType, web

from node_agent.kubelet import port_forward
from node_agent.kubelet.port_forward import PortForward
from node_agent.kubelet.spdy import Framer, Ping

SMALL = 4096
PIECES = port_forward._PIECES_MAX + 20


class Client:
    """A WebSocket whose peer sends `messages`, and then waits for the answer to a ping."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages
        self.taken = 0
        self._framer = Framer()
        self._answered = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[WSMessage]:
        for message in self.messages:
            self.taken += 1
            yield WSMessage(WSMsgType.BINARY, message, None)
        await self._answered.wait()

    async def send_bytes(self, data: bytes) -> None:
        if any(isinstance(frame, Ping) for frame in self._framer.feed(data)):
            self._answered.set()


async def test_a_pod_that_closes_with_much_unread_holds_up_nobody_else() -> None:
    def open_socket() -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        made.setblocking(False)
        return made

    async def opened() -> socket.socket:
        return open_socket()

    with socket.socket() as pod:
        pod.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        pod.bind(("127.0.0.1", 0))
        pod.listen()
        framer = Framer()
        head = framer.open(1, {"streamType": "data", "port": str(pod.getsockname()[1])})
        pieces = [framer.data(1, b"x" * 65_536)] * PIECES
        client = Client([head, *pieces, framer.ping(1)])
        forwarding = PortForward(cast(web.WebSocketResponse, cast(Any, client)), opened, pod="default/web")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(forwarding.run(), name="forwarding")
            accepted, _ = await asyncio.to_thread(pod.accept)
            # The open, the piece that is being sent, those that wait, and one for which there is no place.
            while client.taken < port_forward._PIECES_MAX + 3:  # noqa: ASYNC110 - nothing tells of a message that nobody takes
                await asyncio.sleep(0.01)
            accepted.close()
