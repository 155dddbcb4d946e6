"""UDP through real worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import pytest

from netproxy.rules import ANY_ADDRESS, Frontend
from tests.support.relay import ADDRESS, a_data_path, a_rule, until

pytestmark = pytest.mark.timeout(60)

# Of every address at once, so `a_free_port` cannot say: one for each test process, and none that the kernel gives away.
NODE_PORT = 10_000 + os.getpid() % 10_000


class Replier(asyncio.DatagramProtocol):
    """Answers every datagram with its own name and what was said."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.peers: set[object] = set()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, address) -> None:
        self.peers.add(address)
        self.transport.sendto(self.name + b" " + data, address)


@contextlib.asynccontextmanager
async def a_replier(name: bytes) -> AsyncIterator[tuple[int, Replier]]:
    loop = asyncio.get_running_loop()
    transport, replier = await loop.create_datagram_endpoint(lambda: Replier(name), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1], replier
    finally:
        transport.close()


@contextlib.contextmanager
def a_client(frontend: Frontend, address: str = ""):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((address or frontend.address, frontend.port))
        yield client


async def say(client: socket.socket, text: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        client.send(text)
        return await loop.sock_recv(client, 65_535)


@pytest.fixture(params=[1, 3], ids=["one-worker", "three-workers"])
async def path(request):
    async with a_data_path(request.param) as data_path:
        yield data_path


async def test_a_client_has_one_session_and_clients_take_turns(path):
    async with a_replier(b"a") as (a, first), a_replier(b"b") as (b, second):
        frontend = await path.expose(a, b, protocol="UDP")
        with a_client(frontend) as one, a_client(frontend) as two:
            heard = [await say(client, b"x") for client in (one, two, one, two, one)]
        assert sorted(heard[:2]) == [b"a x", b"b x"]
        assert heard[2:] == [heard[0], heard[1], heard[0]]
        assert (len(first.peers), len(second.peers)) == (1, 1)


@pytest.mark.parametrize("size", [0, 1, 1472, 9_000, 60_000])
async def test_datagrams_stay_whole(path, size):
    async with a_replier(b"a") as (port, _):
        frontend = await path.expose(port, protocol="UDP")
        with a_client(frontend) as client:
            assert await say(client, b"z" * size) == b"a " + b"z" * size


async def test_a_node_port_answers_from_the_address_that_was_asked(path):
    async with a_replier(b"a") as (port, _):
        frontend = Frontend("UDP", ANY_ADDRESS, NODE_PORT)
        await path.put(frontend, a_rule(port))
        for address in (ADDRESS, "127.0.0.9", "127.0.0.1"):
            with a_client(frontend, address) as client:  # connected: an answer from elsewhere would not be heard
                assert await say(client, b"x") == b"a x"


async def test_a_session_moves_when_its_back_end_has_gone(path):
    async with a_replier(b"a") as (a, _), a_replier(b"b") as (b, _):
        frontend = await path.expose(a, protocol="UDP")
        with a_client(frontend) as client:
            assert await say(client, b"1") == b"a 1"
            await path.put(frontend, a_rule(b))
            assert await say(client, b"2") == b"b 2"


async def test_without_back_ends_datagrams_are_ignored_or_refused_and_served_again(path):
    async with a_replier(b"a") as (port, _):
        frontend = await path.expose(protocol="UDP")
        with a_client(frontend) as client:
            with pytest.raises((ConnectionRefusedError, TimeoutError)):
                await say(client, b"1")
            await path.put(frontend, a_rule(port))
            assert await say(client, b"2") == b"a 2"


async def test_a_back_end_that_refuses_is_left(path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.connect(("127.0.0.1", 9))  # it holds the port, and hears nobody else: the kernel refuses in its place
        async with a_replier(b"a") as (port, _):
            frontend = await path.expose(deaf.getsockname()[1], port, protocol="UDP")
            with a_client(frontend) as client:
                client.send(b"1")
                # Until then the session is still there, and a second datagram would be lost like the first.
                await until(lambda: path.pool.totals()["default/web"].failures == 1)
                assert await say(client, b"2") == b"a 2"
