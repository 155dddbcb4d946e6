"""Frames of port-forward as no client sends them: SPDY within WebSocket messages, whole, broken and in pieces."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

from aiohttp import WSMessage, WSMsgType, web

from node_agent.kubelet.port_forward import PortForward
from node_agent.kubelet.spdy import Framer

_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"streamType": "data", "port": "80"},
    {"streamType": "error", "port": "x"},
    {"streamtype": "data", "port": "99999"},
)


class _Peer:
    """A WebSocket whose peer sends these messages and then hangs up."""

    def __init__(self, messages: list[bytes], dice: random.Random) -> None:
        self._messages = messages
        self._dice = dice

    async def __aiter__(self) -> AsyncIterator[WSMessage]:
        for message in self._messages:
            kind = WSMsgType.BINARY if self._dice.random() < 0.95 else WSMsgType.TEXT
            yield WSMessage(kind, message if kind is WSMsgType.BINARY else "x", None)
            await asyncio.sleep(0)

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.sleep(0)

    async def close(self, **_: Any) -> bool:
        return True


async def _refused() -> socket.socket:
    raise ConnectionRefusedError(111, "refused")


def _frame(framer: Framer, dice: random.Random) -> bytes:
    stream = dice.choice((0, 1, 3, 5, 2**31 - 1))
    match dice.randint(0, 5):
        case 0:
            return framer.open(stream, dice.choice(_HEADERS))
        case 1:
            return framer.data(stream, dice.randbytes(dice.randint(0, 100)), fin=dice.random() < 0.3)
        case 2:
            return framer.reset(stream)
        case 3:
            return framer.ping(stream)
        case 4:
            return framer.reply(stream)
        case _:
            return dice.randbytes(dice.randint(1, 40))


async def converse(dice: random.Random) -> None:
    """One connection's worth of frames; raises what escapes, and `TimeoutError`."""
    framer = Framer()
    messages: list[bytes] = []
    for _ in range(dice.randint(1, 20)):
        frame = _frame(framer, dice)
        if dice.random() < 0.2 and frame:
            at = dice.randrange(len(frame))
            frame = frame[:at] + bytes([dice.randrange(256)]) + frame[at + 1 :]
        messages += [frame] if dice.random() < 0.7 else [frame[:5], frame[5:]]
    peer = cast(web.WebSocketResponse, cast(Any, _Peer(messages, dice)))
    forwarding = PortForward(peer, _refused, pod="default/fuzzed")
    async with asyncio.timeout(30):
        await forwarding.run()
