"""One worker's loop within the test's process: limits, and what happens when the control side has gone."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from netproxy.forward import channel
from netproxy.forward.channel import Batch, Frames, Report
from netproxy.forward.worker import ORPHAN_DRAINS_S, ORPHAN_SERVES_S, Worker
from netproxy.rules import Frontend, Put
from tests.support.relay import ADDRESS, a_free_port, a_rule

pytestmark = pytest.mark.timeout(60)

LIMIT = 64  # the least a worker allows itself


class JumpingClock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class Control:
    """The control side's end of the channel, and the worker's thread."""

    def __init__(self, ours: socket.socket, clock: JumpingClock, thread: threading.Thread) -> None:
        self.socket, self.clock, self.thread = ours, clock, thread

    def put(self, frontend: Frontend, *ports: int) -> Report:
        """Set a rule, and wait for the worker to say that it holds."""
        self.socket.sendall(channel.encode(Batch(1, (Put(frontend, a_rule(*ports)),))))
        frames = Frames()
        while True:
            for body in frames.feed(self.socket.recv(1 << 16)):
                report = channel.REPORTS.decode(body)
                if report.serial == 1:
                    return report


@contextlib.contextmanager
def a_worker() -> Iterator[Control]:
    ours, theirs = socket.socketpair()
    clock = JumpingClock()
    worker = Worker(theirs, clock, index=0, count=1, descriptors=0)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield Control(ours, clock, thread)
    finally:
        ours.close()
        for _ in range(20):
            clock.ahead_s += ORPHAN_SERVES_S + ORPHAN_DRAINS_S
            thread.join(1)
            if not thread.is_alive():
                break
        theirs.close()
        assert not thread.is_alive()


@contextlib.contextmanager
def a_backend() -> Iterator[int]:
    """Answers one line on each connection, and holds it."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    connection.sendall(b"hello")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in held:
                connection.close()


def a_frontend() -> Frontend:
    return Frontend("TCP", ADDRESS, a_free_port())


def dial(frontend: Frontend) -> socket.socket:
    return socket.create_connection((frontend.address, frontend.port), timeout=5)


def is_turned_away(frontend: Frontend) -> bool:
    try:
        with dial(frontend) as client:
            return client.recv(5) == b""
    except ConnectionResetError:
        return True


def wait_refused(frontend: Frontend) -> None:
    """Return once nobody listens any more."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            dial(frontend).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue  # it was waiting to be accepted when the listener was closed
    raise TimeoutError("somebody still listens")


def test_past_the_limit_clients_are_reset_and_the_others_go_on():
    frontend = a_frontend()
    with a_worker() as control, a_backend() as port, contextlib.ExitStack() as stack:
        control.put(frontend, port)
        clients = [stack.enter_context(dial(frontend)) for _ in range(LIMIT)]
        assert [client.recv(5) for client in clients] == [b"hello"] * LIMIT
        assert is_turned_away(frontend)
        clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients[0].close()  # with RST: the back end would hold on to its half
        deadline = time.monotonic() + 10
        while is_turned_away(frontend):  # until the worker has seen the one that left
            assert time.monotonic() < deadline


def test_without_its_control_side_a_worker_serves_on_then_drains_then_ends():
    frontend = a_frontend()
    with a_worker() as control, a_backend() as port, contextlib.ExitStack() as stack:
        control.put(frontend, port)
        first = stack.enter_context(dial(frontend))
        assert first.recv(5) == b"hello"
        control.socket.close()
        second = stack.enter_context(dial(frontend))
        assert second.recv(5) == b"hello"
        control.clock.ahead_s += ORPHAN_SERVES_S
        wait_refused(frontend)
        assert select.select([first, second], [], [], 0)[0] == []  # still open
        control.clock.ahead_s += ORPHAN_DRAINS_S  # its patience has an end
        control.thread.join(10)
        assert not control.thread.is_alive()
