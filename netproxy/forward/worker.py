"""One data-path process: its loop, and its channel to the control side, from which it takes all it knows.

Started as `python -m netproxy.forward.worker CHANNEL_FD INDEX COUNT`. When the control side dies, a worker serves on
for a moment, so that a successor finds the addresses still answered, and then lets its connections come to their end.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable

from netproxy.forward import channel
from netproxy.forward.connect import Connector
from netproxy.forward.listeners import Listeners
from netproxy.forward.tally import Totals
from netproxy.forward.tcp import Relay
from netproxy.forward.ticker import Ticker
from netproxy.forward.udp import Forwarder
from netproxy.rules import Frontend
from orchestrator.machinery.clock import Clock, SystemClock

# How often timeouts are looked at and counts reported while anything happens; an idle worker sleeps.
TICK_S = 0.5
# Ports that were taken are tried again this often.
RETRY_S = 5.0
# A control side that was killed is back within a second or two.
ORPHAN_SERVES_S = 5.0
ORPHAN_DRAINS_S = 30.0
# Descriptors for everything that is not a connection: listeners, UDP sessions, pipes.
DESCRIPTORS_WANTED = 1 << 20
DESCRIPTORS_RESERVED = 24_576


class Worker:
    """Build it on the worker's end of the channel, then `run`."""

    def __init__(self, control: socket.socket, clock: Clock, *, index: int, count: int, descriptors: int) -> None:
        control.setblocking(False)
        self._control = control
        self._clock = clock
        self._frames = channel.Frames()
        self._outgoing = b""
        self._serial = 0
        self._told: tuple[int, tuple[tuple[Frontend, str], ...]] = (-1, ())
        self._told_totals: dict[str, Totals] = {}
        self._orphaned_at: float | None = None
        self._retry_at = 0.0
        self._epoll = select.epoll()
        self._ticker = Ticker()
        self._tick_is_due = False
        self._handlers: dict[int, Callable[[int], None]] = {
            control.fileno(): self._hear,
            self._ticker.fd: self._ticked,
        }
        for fd in self._handlers:
            self._epoll.register(fd, select.EPOLLIN)
        self._relay = Relay(self._epoll)
        connections_max = max(64, (descriptors - min(DESCRIPTORS_RESERVED, descriptors // 2)) // 2)
        self._connector = Connector(self._epoll, self._relay, now=clock.monotonic, connections_max=connections_max)
        self._udp = Forwarder(self._epoll, self._handlers, now=clock.monotonic)
        self._listeners = Listeners(
            self._epoll,
            self._handlers,
            serve_tcp=self._connector.accept,
            serve_udp=self._udp.receive,
            index=index,
            count=count,
        )

    def run(self) -> None:
        """Serve until the control side has gone and the last connection after it."""
        poll, handle, other, relay = self._epoll.poll, self._relay.handle, self._other, self._relay
        resting = False  # nothing has happened since the last report: no tick is due
        self._ticker.start(TICK_S)
        while True:
            handle(poll(0.0) if relay.busy else poll(), other)
            if self._tick_is_due:
                self._tick_is_due = False
                moment = self._clock.monotonic()
                resting = self._tick(moment)
                if self._has_finished(moment):
                    break
                if resting:
                    self._ticker.stop()
            elif resting:
                resting = False
                self._ticker.start(TICK_S)
        self._connector.close()
        self._relay.close()
        self._udp.close()
        self._ticker.close()
        self._epoll.close()

    def _ticked(self, event: int) -> None:
        self._ticker.clear()
        self._tick_is_due = True

    def _other(self, fd: int, event: int) -> None:
        attempt = self._connector.attempts.get(fd)
        if attempt is not None:
            self._connector.progress(attempt, event)
            return
        handler = self._handlers.get(fd)
        if handler is not None:
            handler(event)

    def _tick(self, now: float) -> bool:
        self._connector.expire()
        self._udp.expire()
        if self._listeners.failures and now >= self._retry_at:
            self._retry_at = now + RETRY_S
            self._listeners.retry()
        said = self._report()
        waiting = self._connector.attempts or self._udp.sessions or self._listeners.failures or self._outgoing
        return not said and not waiting and self._orphaned_at is None

    def _hear(self, event: int) -> None:
        if event & select.EPOLLOUT and self._outgoing:
            self._speak(b"")
        try:
            data = self._control.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._orphaned_at = self._clock.monotonic()
            self._epoll.unregister(self._control.fileno())
            return
        for body in self._frames.feed(data):
            batch = channel.BATCHES.decode(body)
            for door in self._listeners.apply(batch.changes):
                if door.frontend.protocol == "UDP":
                    self._udp.forget(door)
            self._serial = batch.serial
            self._report()

    def _report(self) -> bool:
        """Tell the control side how things stand, unless it knows."""
        if self._orphaned_at is not None or self._outgoing:
            return False
        self._listeners.prune()
        totals: dict[str, Totals] = {name: tally.totals() for name, tally in self._listeners.tallies.items()}
        changed = {name: total for name, total in totals.items() if self._told_totals.get(name) != total}
        telling = (self._serial, tuple(self._listeners.failures.items()))
        if not changed and telling == self._told:
            return False
        self._told, self._told_totals = telling, totals
        self._speak(channel.encode(channel.Report(telling[0], changed, telling[1])))
        return True

    def _speak(self, frame: bytes) -> None:
        """Send what the channel takes; the rest waits for room, and no further report is made meanwhile."""
        self._outgoing += frame
        try:
            sent = self._control.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._outgoing = b""  # the control side has gone: reading says so
            return
        self._outgoing = self._outgoing[sent:]
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
        self._epoll.modify(self._control.fileno(), wanted)

    def _has_finished(self, now: float) -> bool:
        if self._orphaned_at is None or now < self._orphaned_at + ORPHAN_SERVES_S:
            return False
        self._listeners.close()
        return self._relay.open == 0 or now >= self._orphaned_at + ORPHAN_SERVES_S + ORPHAN_DRAINS_S


def raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as it may have; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, DESCRIPTORS_WANTED), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (OSError, ValueError):
            continue  # above the hard limit only with privileges
        return wanted
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def main() -> None:
    """Run a worker on the descriptor and numbers of the command line."""
    fd, index, count = (int(argument) for argument in sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the control side, which ends us
    os.set_inheritable(fd, False)
    control = socket.socket(fileno=fd)
    worker = Worker(control, SystemClock(), index=index, count=count, descriptors=raise_descriptor_limit())
    # The data path makes no reference cycles, and a collection over a hundred thousand connections stalls all of them.
    gc.collect()
    gc.freeze()
    gc.disable()
    worker.run()


if __name__ == "__main__":
    main()
