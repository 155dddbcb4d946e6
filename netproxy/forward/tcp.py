"""Moves bytes between two connected TCP sockets, both ways, on edge-triggered epoll and plain descriptors.

Small messages are copied through one buffer that all connections share; a read that fills the buffer turns that
direction to `splice`, and a small splice turns it back. Nine tenths of the time spent is the kernel's, so what counts
is the number of system calls: the usual message costs one readv and one write.
"""

from __future__ import annotations

import _socket  # its plain objects: socket.socket costs an extra Python layer for every descriptor we only borrow
import ctypes
import os
import select
import struct
from collections.abc import Callable, Iterable
from socket import AF_INET, SHUT_WR, SO_LINGER, SOCK_STREAM, SOL_SOCKET

from netproxy.forward.pipes import PipePool
from netproxy.forward.tally import Meter, Tally

IN, OUT, ERR = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR
# After one of these no further edge announces what is still unread: read on until there is nothing, or the FIN is lost.
# (PRI: a read stops short at urgent data, with more behind it.)
LAST_CALL = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLPRI
READABLE = IN | LAST_CALL
WATCHED = IN | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET
WATCHED_BOTH = WATCHED | OUT

BUFFER_BYTES = 32_768
SPLICE_BYTES = 1 << 20
SPLICE_SMALL_BYTES = 16_384  # below this, copying is the cheaper way
# Moves of one direction before the others get their turn.
TURNS = 16
_SPLICE_FLAGS = 0x1 | 0x2  # SPLICE_F_MOVE | SPLICE_F_NONBLOCK
_LINGER_RESET = struct.pack("ii", 1, 0)

# Every connection ends with this call, and a socket object made for it alone would cost two more.
_shutdown = ctypes.CDLL(None).shutdown
_shutdown.argtypes = (ctypes.c_int, ctypes.c_int)

Other = Callable[[int, int], None]


class Half:
    """One direction of a connection: what is read from `source` is written to `target`."""

    __slots__ = (
        "armed",
        "ended",
        "last_call",
        "meter",
        "other",
        "pending",
        "pipe",
        "piped",
        "source",
        "splicing",
        "tally",
        "target",
    )

    other: Half

    def __init__(self, source: int, target: int, tally: Tally, meter: Meter) -> None:
        self.source = source  # -1 once closed
        self.target = target
        self.tally = tally
        self.meter = meter
        self.pending: bytes | None = None  # read, not yet taken by the target
        self.pipe: tuple[int, int] | None = None
        self.piped = 0  # bytes in the pipe
        self.splicing = False
        self.last_call = False
        self.ended = False  # the source has sent FIN, and the target has been told
        self.armed = False  # the source is also watched for room to write


def reset(fd: int) -> None:
    """Make the closing of `fd` send RST, so that its peer sees an error instead of an end."""
    borrowed = _socket.socket(AF_INET, SOCK_STREAM, 0, fd)
    try:
        borrowed.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_RESET)
    except OSError:
        pass  # never connected, or gone already: nobody to tell
    finally:
        borrowed.detach()


class Relay:
    """Every established connection of a worker. Call `handle` with what epoll reports."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._halves: dict[int, Half] = {}
        self._again: list[Half] = []  # used up their turns with more to move
        self._doomed: list[int] = []
        self._pipes = PipePool()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._into = [self._buffer]
        self.open = 0

    @property
    def busy(self) -> bool:
        """Whether there is work that no event will announce: call `handle` again without waiting."""
        return bool(self._again)

    def join(self, client: int, backend: int, tally: Tally, *, pending: bytes | None, watched: bool) -> None:
        """Take over two connected descriptors. `pending` was read from the client and goes first.

        `watched` says that the back end is registered with epoll (for everything) already.
        """
        up = Half(client, backend, tally, tally.received)
        down = Half(backend, client, tally, tally.sent)
        up.other, down.other = down, up
        up.pending = pending
        self._halves[client] = up
        self._halves[backend] = down
        self.open += 1
        tally.open += 1
        if watched:
            down.armed = True
        else:
            down.armed = pending is not None
            self._epoll.register(backend, WATCHED_BOTH if pending is not None else WATCHED)
        self._epoll.register(client, WATCHED)

    def event(self, fd: int, event: int) -> None:
        """Handle one event of a joined descriptor, outside a batch."""
        half = self._halves.get(fd)
        if half is not None:
            self._attend(half, event)

    def handle(self, events: Iterable[tuple[int, int]], other: Other) -> None:
        """Move what one batch of events lets move; events of foreign descriptors go to `other`.

        Descriptors are closed after the batch: a number must not come back to life within it.
        """
        if self._again:
            self._resume()
        find, into, view = self._halves.get, self._into, self._buffer
        readv, write = os.readv, os.write
        for fd, event in events:
            half = find(fd)
            if half is None:
                other(fd, event)
                continue
            if event != IN or half.splicing or half.pending is not None:
                self._attend(half, event)
                continue
            try:
                count = readv(fd, into)
            except BlockingIOError:
                continue
            except OSError:
                self._abort(half)
                continue
            if count == 0:
                self._end(half)
                continue
            try:
                taken = write(half.target, view[:count])
            except BlockingIOError:
                taken = 0
            except OSError:
                self._abort(half)
                continue
            half.meter.count += count
            if taken < count:
                half.pending = bytes(view[taken:count])
                self._arm(half.other)
            elif count == BUFFER_BYTES:
                self._pump_bulk(half)
        if self._doomed:
            self._close_doomed()

    def close_later(self, fd: int) -> None:
        """Close a descriptor after the batch at hand."""
        self._doomed.append(fd)

    def close(self) -> None:
        """Reset every connection and release everything."""
        for half in list(self._halves.values()):
            if half.source >= 0:
                self._abort(half)
        self._close_doomed()
        self._pipes.close()

    def _close_doomed(self) -> None:
        doomed, self._doomed = self._doomed, []
        for fd in doomed:
            os.close(fd)

    def _resume(self) -> None:
        again, self._again = self._again, []
        for half in again:
            if half.source >= 0:
                self._pump(half)

    def _attend(self, half: Half, event: int) -> None:
        if event & OUT:
            peer = half.other
            if peer.pending is not None or peer.piped:
                self._pump(peer)
                if half.source < 0:
                    return
        if event & READABLE:
            if event & LAST_CALL:
                half.last_call = True  # sticky: the edge comes once, perhaps while the target is blocked
            if not half.ended:
                self._pump(half)
            elif event & ERR:
                self._abort(half)

    def _arm(self, half: Half) -> None:
        if not half.armed:
            half.armed = True
            self._epoll.modify(half.source, WATCHED_BOTH)  # reports at once if there is room already

    def _pump(self, half: Half) -> None:
        if half.splicing:
            self._pump_spliced(half)
        else:
            self._pump_copied(half)

    def _pump_bulk(self, half: Half) -> None:
        """Go on by splicing; by copying if there is no pipe to be had."""
        half.pipe = self._pipes.take()
        if half.pipe is None:
            self._pump_copied(half, may_splice=False)
        else:
            half.splicing = True
            self._arm(half.other)
            self._pump_spliced(half)

    def _flush(self, half: Half) -> bool:
        """Write what is pending; False if some of it remains, or the connection broke."""
        assert half.pending is not None
        try:
            taken = os.write(half.target, half.pending)
        except BlockingIOError:
            return False
        except OSError:
            self._abort(half)
            return False
        half.pending = half.pending[taken:] or None
        return half.pending is None

    def _pump_copied(self, half: Half, *, may_splice: bool = True) -> None:
        if half.pending is not None and not self._flush(half):
            return
        view = self._buffer
        for _ in range(TURNS):
            try:
                count = os.readv(half.source, self._into)
            except BlockingIOError:
                return
            except OSError:
                return self._abort(half)
            if count == 0:
                return self._end(half)
            try:
                taken = os.write(half.target, view[:count])
            except BlockingIOError:
                taken = 0
            except OSError:
                return self._abort(half)
            half.meter.count += count
            if taken < count:
                half.pending = bytes(view[taken:count])
                return self._arm(half.other)
            if count < BUFFER_BYTES:
                if not half.last_call:
                    return
            elif may_splice:
                return self._pump_bulk(half)
        self._again.append(half)

    def _pump_spliced(self, half: Half) -> None:
        assert half.pipe is not None
        source, target = half.source, half.target
        pipe_out, pipe_in = half.pipe
        was_small = False
        for _ in range(TURNS):
            count = half.piped
            if not count:
                try:
                    count = os.splice(source, pipe_in, SPLICE_BYTES, flags=_SPLICE_FLAGS)
                except BlockingIOError:
                    break
                except OSError:
                    return self._abort(half)
                if count == 0:
                    return self._end(half)
                was_small = was_small or count < SPLICE_SMALL_BYTES
                half.meter.count += count
                half.piped = count  # before writing: an abort must not give a pipe back that holds bytes
            try:
                half.piped = count - os.splice(pipe_out, target, count, flags=_SPLICE_FLAGS)
            except BlockingIOError:
                return
            except OSError:
                return self._abort(half)
            if half.piped:
                return
        else:
            self._again.append(half)
            return
        if was_small:
            half.splicing = False
            self._pipes.give(half.pipe, held_bytes=0)
            half.pipe = None

    def _end(self, half: Half) -> None:
        """The source has said its last: tell the target, and close both once both directions have ended."""
        half.ended = True
        if half.other.ended:
            return self._finish(half)
        if _shutdown(half.target, SHUT_WR) < 0:
            self._abort(half)

    def _abort(self, half: Half) -> None:
        """One side broke: reset both, so that the other side learns of it."""
        reset(half.source)
        reset(half.target)
        self._finish(half)

    def _finish(self, half: Half) -> None:
        other = half.other
        for side in (half, other):
            del self._halves[side.source]
            self._doomed.append(side.source)
            side.source = -1
            if side.pipe is not None:
                self._pipes.give(side.pipe, held_bytes=side.piped)
                side.pipe = None
            side.pending = None
            del side.other  # no cycle left: the worker runs without the garbage collector
        half.tally.open -= 1
        self.open -= 1
