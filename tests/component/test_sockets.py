"""Connections that break at the worst moment harm nobody else: no descriptor is closed that belongs to another."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import uvloop

from orchestrator.machinery.sockets import own_socket, socket_that_notices_a_dead_peer

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is left is dropped, and the peer told so
CONNECTIONS = 200


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """Of a server that resets every connection at once, as a server does that is killed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                accepted.close()

        thread = threading.Thread(target=serve, name="resetting server")
        thread.start()
        yield listening.getsockname()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def identity(descriptor: int) -> tuple[int, int]:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino


def is_still(descriptor: int, was: tuple[int, int]) -> bool:
    try:
        return identity(descriptor) == was
    except OSError:
        return False


async def connect_in_vain(address: tuple[str, int], factory: Callable[[Any], socket.socket]) -> list[int]:
    """Lose many connections; after each, open something in its place. Returns what was opened and is closed now."""
    tls = ssl.create_default_context()
    opened: dict[int, tuple[int, int]] = {}
    connector = aiohttp.TCPConnector(ssl=tls, socket_factory=factory)
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(CONNECTIONS):
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://{address[0]}:{address[1]}/")
            fresh = os.open(os.devnull, os.O_RDONLY), socket.socket().detach()
            opened.update((one, identity(one)) for one in fresh)
    gc.collect()
    lost = [one for one, was in opened.items() if not is_still(one, was)]
    for one in opened.keys() - lost:
        os.close(one)
    return lost


@pytest.mark.parametrize("factory", [own_socket, socket_that_notices_a_dead_peer])
def test_a_lost_connection_closes_nobody_elses_descriptor(
    address: tuple[str, int], factory: Callable[[Any], socket.socket]
) -> None:
    assert uvloop.run(connect_in_vain(address, factory)) == []


def test_a_socket_that_is_dropped_is_closed() -> None:
    sock = own_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)))
    descriptor, was = sock.fileno(), identity(sock.fileno())
    with pytest.warns(ResourceWarning, match="unclosed"):
        del sock
    assert not is_still(descriptor, was)
