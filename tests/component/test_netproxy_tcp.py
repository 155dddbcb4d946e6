"""TCP through real worker processes, over loopback: nothing is lost, mixed up, or left hanging."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import socket
from collections import Counter

import msgspec
import pytest

from netproxy.forward.tally import Totals
from netproxy.rules import Frontend
from tests.support.relay import (
    ADDRESS,
    a_backend,
    a_data_path,
    a_dead_port,
    a_free_port,
    a_rule,
    ask,
    dial,
    echo,
    hang_up_hard,
    saying,
    until,
)

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def path():
    async with a_data_path() as data_path:
        yield data_path


async def digest(reader, writer):
    """A back end that answers with a digest of everything, once the client has said its last."""
    seen = hashlib.sha256()
    while data := await reader.read(1 << 16):
        seen.update(data)
    writer.write(seen.digest())
    await writer.drain()


@pytest.mark.parametrize("size", [0, 1, 1000, 32_767, 32_768, 32_769, 5_000_000])
async def test_a_client_that_ends_its_side_still_gets_its_answer(path, size):
    async with a_backend(digest) as port:
        frontend = await path.expose(port)
        data = random.Random(size).randbytes(size)
        reader, writer = await dial(frontend)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == hashlib.sha256(data).digest()
        writer.close()


@pytest.mark.parametrize("size", [1, 200_000])
async def test_a_back_end_that_ends_its_side_still_hears_the_client(path, size):
    heard = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        writer.write(b"x" * size)
        writer.write_eof()
        heard.set_result(await reader.read())

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        assert len(await reader.read()) == size
        writer.write(b"y" * 300_000)
        writer.close()
        assert await heard == b"y" * 300_000


@pytest.mark.parametrize("size", [1, 1000, 100_000, 2_000_000])
async def test_a_client_that_sends_and_hangs_up_is_heard_to_the_end(path, size):
    heard = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        await asyncio.sleep(0.02)  # the FIN arrives while nobody reads
        heard.set_result(len(await reader.read()))

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        _, writer = await dial(frontend)
        writer.write(b"z" * size)
        writer.close()
        assert await heard == size


async def test_a_fin_that_comes_while_the_other_side_is_blocked_is_not_lost(path):
    go = asyncio.Event()
    heard = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        writer.transport.pause_reading()
        await go.wait()
        writer.transport.resume_reading()
        heard.set_result(len(await reader.read()))

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        client = socket.create_connection((frontend.address, frontend.port))
        client.setblocking(False)
        sent = 0
        while sent < 64 << 20:  # until every buffer on the way is full
            try:
                sent += client.send(b"q" * 65_536)
            except BlockingIOError:
                await asyncio.sleep(0.05)
                try:
                    sent += client.send(b"q")
                except BlockingIOError:
                    break
        client.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.1)
        go.set()
        assert await heard == sent
        client.close()


async def test_a_slow_reader_slows_its_sender_down(path):
    go = asyncio.Event()

    async def talk(reader, writer):
        writer.transport.pause_reading()
        await go.wait()
        writer.transport.resume_reading()
        await digest(reader, writer)

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        block = random.Random(1).randbytes(1 << 20)
        seen, sent = hashlib.sha256(), 0
        with contextlib.suppress(TimeoutError):
            while sent < 256:
                writer.write(block)
                seen.update(block)
                sent += 1
                async with asyncio.timeout(0.5):
                    await writer.drain()
        assert sent < 64
        go.set()
        writer.write_eof()
        assert await reader.read() == seen.digest()
        writer.close()


async def test_both_directions_at_once_at_all_sizes(path):
    def blocks(seed):
        dice = random.Random(seed)
        return [dice.randbytes(dice.choice([1, 100, 5_000, 40_000, 300_000, 1 << 20])) for _ in range(60)]

    async def send(writer, seed):
        for block in blocks(seed):
            writer.write(block)
            await writer.drain()
        writer.write_eof()

    async def receive(reader):
        seen = hashlib.sha256()
        while data := await reader.read(1 << 16):
            seen.update(data)
        return seen.digest()

    results = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        _, seen = await asyncio.gather(send(writer, 1), receive(reader))
        results.set_result(seen)

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        _, seen = await asyncio.gather(send(writer, 2), receive(reader))
        assert seen == hashlib.sha256(b"".join(blocks(1))).digest()
        assert await results == hashlib.sha256(b"".join(blocks(2))).digest()
        writer.close()


async def test_a_server_may_speak_first(path):
    async with a_backend(saying(b"220 hello\r\n")) as port:
        frontend = await path.expose(port)
        assert await ask(frontend) == b"220 hello\r\n"


async def test_a_reset_by_the_back_end_resets_the_client(path):
    async def talk(reader, writer):
        await reader.read(10)
        hang_up_hard(writer)

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_reset_by_the_client_resets_the_back_end(path):
    ended = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        await reader.read(1)
        writer.write(b"!")
        try:
            await reader.read()
            ended.set_result("FIN")
        except ConnectionResetError:
            ended.set_result("RST")

    async with a_backend(talk) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        writer.write(b"x")
        await reader.readexactly(1)
        hang_up_hard(writer)
        assert await ended == "RST"


async def test_bytes_of_an_aborted_bulk_transfer_never_reach_another_client(path):
    async def flood(reader, writer):
        name = await reader.readexactly(8)
        try:
            while True:
                writer.write(name * 32_768)
                await writer.drain()
        except ConnectionError:
            pass

    async with a_backend(flood) as port:
        frontend = await path.expose(port)
        for number in range(30):
            name = b"%08d" % number
            reader, writer = await dial(frontend)
            writer.write(name)
            got = await reader.readexactly(800_000)
            assert got == name * 100_000
            hang_up_hard(writer)  # with bytes in flight, and in a pipe


async def test_many_clients_at_once_each_get_their_own_bytes(path):
    async def one(number):
        data = random.Random(number).randbytes(random.Random(number).choice([10, 3_000, 60_000, 200_000]))
        reader, writer = await dial(frontend)
        writer.write(data)
        writer.write_eof()
        got = await reader.read()
        writer.close()
        return got == data

    async with a_backend(echo) as port:
        frontend = await path.expose(port)
        for _ in range(3):
            assert all(await asyncio.gather(*(one(number) for number in range(150))))

        def counted() -> tuple[int, int]:
            totals = path.pool.totals()["default/web"]
            return totals.connections, totals.open

        await until(lambda: counted() == (450, 0))  # together: counts come late, and none was open before the first


async def test_without_back_ends_a_connection_is_refused_at_once_and_served_again_when_one_comes(path):
    async with a_backend(saying(b"here")) as port:
        frontend = await path.expose()
        with pytest.raises(ConnectionRefusedError):
            await dial(frontend)
        await path.put(frontend, a_rule(port))
        assert await ask(frontend) == b"here"
        await path.put(frontend, a_rule())
        with pytest.raises(ConnectionRefusedError):
            await dial(frontend)


async def test_a_back_end_that_refuses_is_replaced_by_another_without_the_client_noticing(path):
    async def talk(reader, writer):
        writer.write(await reader.readexactly(5))
        await writer.drain()

    with a_dead_port() as dead:
        async with a_backend(talk) as port:
            frontend = await path.expose(dead, port)
            for _ in range(6):
                reader, writer = await dial(frontend)
                writer.write(b"hello")
                assert await reader.read() == b"hello"
                writer.close()
            await until(lambda: path.pool.totals()["default/web"].failures > 0)
            assert path.pool.totals()["default/web"].failures < 6  # it is passed over after that


async def test_when_every_back_end_refuses_the_client_is_reset(path):
    with a_dead_port() as one, a_dead_port() as other:
        frontend = await path.expose(one, other)
        with pytest.raises(ConnectionError):
            await ask(frontend)
        await until(lambda: path.pool.totals()["default/web"].refused == 1)


async def test_a_back_end_that_does_not_answer_is_replaced_after_a_while(path):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # its queue overflows, and the kernel drops every further SYN
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with a_backend(saying(b"alive")) as port:
            frontend = await path.expose(full.getsockname()[1], port)
            assert [await ask(frontend) for _ in range(3)] == [b"alive"] * 3


async def test_a_removed_back_end_keeps_its_connections_and_gets_no_new_ones(path):
    async with a_backend(echo) as old, a_backend(saying(b"new")) as new:
        frontend = await path.expose(old)
        reader, writer = await dial(frontend)
        writer.write(b"1")
        assert await reader.readexactly(1) == b"1"
        await path.put(frontend, a_rule(new))
        assert [await ask(frontend) for _ in range(3)] == [b"new"] * 3
        await path.put(frontend, None)
        writer.write(b"2")
        assert await reader.readexactly(1) == b"2"
        writer.close()


async def test_back_ends_take_turns(path):
    async with a_backend(saying(b"a")) as a, a_backend(saying(b"b")) as b, a_backend(saying(b"c")) as c:
        frontend = await path.expose(a, b, c)
        assert Counter([await ask(frontend) for _ in range(9)]) == {b"a": 3, b"b": 3, b"c": 3}


async def test_with_affinity_a_client_always_meets_the_same_back_end_whichever_worker_there_is():
    async with (
        a_data_path(workers=3) as path,
        a_backend(saying(b"a")) as a,
        a_backend(saying(b"b")) as b,
        a_backend(saying(b"c")) as c,
    ):
        frontend = await path.expose(a, b, c, affinity_s=60)
        assert len({await ask(frontend) for _ in range(20)}) == 1


async def test_sources_that_are_not_admitted_are_reset(path):
    async with a_backend(saying(b"in")) as port:
        frontend = await path.expose(port)
        await path.put(frontend, a_rule(port, sources=["10.0.0.0/8"]))
        with pytest.raises(ConnectionResetError):
            await ask(frontend)
        await path.put(frontend, a_rule(port, sources=["127.0.0.0/8"]))
        assert await ask(frontend) == b"in"


async def test_a_port_that_something_else_holds_is_reported_and_breaks_no_other(path):
    with socket.socket() as squatter:
        squatter.bind((ADDRESS, 0))
        squatter.listen()
        taken = Frontend("TCP", ADDRESS, squatter.getsockname()[1])
        async with a_backend(saying(b"fine")) as port:
            await path.put(taken, a_rule(port))
            frontend = await path.expose(port)
            assert await ask(frontend) == b"fine"
            assert path.pool.failures() == {taken: "Address already in use"}
            squatter.close()
            await until(lambda: not path.pool.failures(), timeout_s=20)
            assert await ask(taken) == b"fine"


async def test_a_killed_worker_is_replaced_and_knows_the_rules(path):
    async with a_backend(saying(b"back")) as port:
        frontend = await path.expose(port)
        (pid,) = path.pool.pids
        os.kill(pid, signal.SIGKILL)
        await until(lambda: path.pool.pids not in ((), (pid,)) and path.pool.has_applied(path.pool.serial))
        assert await ask(frontend) == b"back"


async def test_bytes_and_connections_are_counted(path):
    async with a_backend(echo) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        writer.write(b"x" * 100_000)
        writer.write_eof()
        assert len(await reader.read()) == 100_000
        writer.close()
        told = Totals(connections=1, received_bytes=100_000, sent_bytes=100_000)
        await until(lambda: path.pool.totals()["default/web"] == told)


async def test_an_address_that_changes_hands_serves_and_counts_for_its_new_service(path):
    async with a_backend(saying(b"old")) as old, a_backend(saying(b"new")) as new:
        frontend = await path.expose(old)
        assert await ask(frontend) == b"old"
        await until(lambda: path.pool.totals()["default/web"].sent_bytes == 3)
        await path.put(frontend, msgspec.structs.replace(a_rule(new), service="default/other"))
        assert await ask(frontend) == b"new"
        await until(lambda: path.pool.totals().get("default/other", Totals()).sent_bytes == 3)
        assert set(path.pool.totals()) == {"default/other"}


async def test_a_service_that_has_gone_counts_no_more_although_its_connection_goes_on(path):
    async with a_backend(echo) as port, a_backend(saying(b"new")) as new:
        other = Frontend("TCP", ADDRESS, a_free_port())
        await path.put(other, msgspec.structs.replace(a_rule(new), service="default/other"))
        gone = await path.expose(port)
        reader, writer = await dial(gone)
        for text in (b"1", b"2"):
            writer.write(text)
            assert await reader.readexactly(1) == text
            await path.put(gone, None)
        assert await ask(other) == b"new"  # its count comes with, or after, those of the connection
        await until(lambda: path.pool.totals()["default/other"].sent_bytes == 3)
        assert set(path.pool.totals()) == {"default/other"}
        writer.close()


async def test_urgent_data_does_not_hold_up_what_follows_it(path):
    async with a_backend(digest) as port:
        frontend = await path.expose(port)
        reader, writer = await dial(frontend)
        plain = writer.get_extra_info("socket")
        client = socket.socket(fileno=os.dup(plain.fileno()))
        client.setblocking(True)
        client.sendall(b"a" * 1000)
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"b" * 1000)
        client.shutdown(socket.SHUT_WR)
        client.close()
        assert await reader.read() == hashlib.sha256(b"a" * 1000 + b"b" * 1000).digest()
        writer.close()
