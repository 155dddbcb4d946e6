"""A process' streams over one WebSocket: `v4.channel.k8s.io` and `v5.channel.k8s.io`.

Each message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize; in v5 255 ends a channel.
"""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from node_agent.kubelet.status_messages import of_exit_code, of_failure
from node_agent.racing import first_of
from node_agent.runtime.base import Channel, NoSuchContainer, RuntimeRefused, RuntimeUnreachable, Session
from orchestrator.api import codec
from orchestrator.api.objects import Object

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _ERROR, _RESIZE, _CLOSE = 0, 3, 4, 255
_PIECE_MAX = 32 * 1024


class _Size(msgspec.Struct, frozen=True):
    width: int = msgspec.field(name="Width", default=0)
    height: int = msgspec.field(name="Height", default=0)


async def carry(socket: web.WebSocketResponse, session: Session, outputs: Set[Channel]) -> None:
    """Carry input and output until the process ends or the client leaves, then say how it ended.

    `outputs` are the streams that the client asked for; the others are read and dropped. Closes the session.
    """
    status: Object | None = None
    try:
        status = await _until_end(socket, session, outputs)
    except* (NoSuchContainer, RuntimeRefused, RuntimeUnreachable) as lost:
        status = of_failure(str(lost.exceptions[0]))
    finally:
        await session.close()
    if status is not None:
        with suppress(ConnectionError):
            await socket.send_bytes(bytes((_ERROR,)) + codec.encode(status))


async def _until_end(socket: web.WebSocketResponse, session: Session, outputs: Set[Channel]) -> Object | None:
    """The status to end with, or None if the client has left."""
    told_all = False

    async def send() -> None:
        nonlocal told_all
        told_all = await _send(socket, session, outputs)

    await first_of(("client-to-process", _receive(socket, session)), ("process-to-client", send()))
    return of_exit_code(await session.wait_exit_code()) if told_all else None


async def _send(socket: web.WebSocketResponse, session: Session, outputs: Set[Channel]) -> bool:
    """Process to client; True at the process' end, False if the client has left."""
    while (piece := await session.read()) is not None:
        channel, data = piece
        if channel not in outputs:
            continue
        try:
            for start in range(0, len(data), _PIECE_MAX):
                await socket.send_bytes(bytes((channel,)) + data[start : start + _PIECE_MAX])
        except ConnectionError:
            return False
    return True


async def _receive(socket: web.WebSocketResponse, session: Session) -> None:
    """Client to process, until the client leaves."""
    async for message in socket:
        data = _bytes_of(message)
        if not data:
            continue
        channel, body = data[0], data[1:]
        if channel == _STDIN:
            if body:
                await session.write(body)
        elif channel == _RESIZE:
            with suppress(ValueError):
                size = codec.decode_into(body, _Size)
                await session.resize(width=size.width, height=size.height)
        elif channel == _CLOSE and body[:1] == bytes((_STDIN,)):
            await session.close_input()


def _bytes_of(message: WSMessage) -> bytes:
    if message.type is WSMsgType.BINARY:
        return bytes(message.data)
    return b""
