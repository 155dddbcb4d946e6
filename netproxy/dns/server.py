"""The sockets of cluster DNS: datagrams answered in place where memory has the answer, streams, and a bound on both."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter

from netproxy.dns import wire
from netproxy.dns.chain import Chain, rotations
from netproxy.dns.records import Answer
from netproxy.dns.wire import Question
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Datagrams answered before other work of the process gets its turn.
BATCH = 64
QUERY_MAX_BYTES = 4096
QUEUE_BYTES = 1 << 20
# Finished replies by the bytes of their query: the same few names are asked for again and again.
MEMO_MAX = 4096
ROTATIONS_MAX = 8
PENDING_MAX = 1_000
STREAMS_MAX = 256
STREAM_IDLE_S = 10.0

RCODES = {
    wire.NOERROR: "NOERROR",
    wire.FORMERR: "FORMERR",
    wire.SERVFAIL: "SERVFAIL",
    wire.NXDOMAIN: "NXDOMAIN",
    wire.NOTIMP: "NOTIMP",
    wire.REFUSED: "REFUSED",
}


class _Memo:
    """The replies to one query, without their id, used in turn."""

    __slots__ = ("answered", "tails")

    def __init__(self, tails: tuple[bytes, ...]) -> None:
        self.tails = tails
        self.answered = 0


class Server:
    """Answers on one address, by UDP and TCP. Run `run` in a task; `forget` when the cluster's names have changed."""

    def __init__(self, chain: Chain, address: str, port: int = 53) -> None:
        self._chain = chain
        self._address = address
        self._port = port
        self._memos: dict[bytes, _Memo] = {}
        self._answers: Counter[int] = Counter()
        self._pending = 0
        self._streams = 0
        self._group: asyncio.TaskGroup | None = None
        self._socket: socket.socket | None = None
        self.listening = asyncio.Event()

    @property
    def port(self) -> int:
        """The port in use, once it listens."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def forget(self) -> None:
        """Throw away what was built from the cluster's names."""
        self._count_memos()
        self._memos.clear()

    def answers(self) -> dict[str, int]:
        """Answers so far, by response code."""
        self._count_memos()
        return {RCODES.get(rcode, str(rcode)): count for rcode, count in self._answers.items()}

    async def run(self) -> None:
        """Answer, for ever. Raises `OSError` if the address cannot be listened on."""
        loop = asyncio.get_running_loop()
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with datagrams:
            datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
            datagrams.bind((self._address, self._port))
            self._socket = datagrams
            streams = await asyncio.start_server(self._serve_stream, self._address, self.port, limit=1 << 16)
            async with streams, asyncio.TaskGroup() as self._group:
                loop.add_reader(datagrams.fileno(), self._receive, datagrams)
                self.listening.set()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self.listening.clear()
                    loop.remove_reader(datagrams.fileno())

    def _receive(self, datagrams: socket.socket) -> None:
        receive, send, memos = datagrams.recvfrom, datagrams.sendto, self._memos
        for _ in range(BATCH):
            try:
                data, peer = receive(QUERY_MAX_BYTES)
            except OSError:
                return  # nothing more; an error of an earlier answer is reported once and gone
            memo = memos.get(data[2:])
            if memo is not None:
                turn = memo.answered
                memo.answered = turn + 1
                reply = data[:2] + memo.tails[turn % len(memo.tails)]
            else:
                found = self._answer(data, peer)
                if found is None:
                    continue
                reply = found
            with contextlib.suppress(OSError):  # no room, or nobody there: the client asks again
                send(reply, peer)

    def _answer(self, data: bytes, peer: tuple[str, int]) -> bytes | None:
        """The reply to a datagram, if it is known at once; otherwise somebody has been sent for it."""
        question = self._parse(data)
        if not isinstance(question, Question):
            return question
        limit_bytes = question.payload_max_bytes
        own = self._chain.own(question)
        if own is not None and not own.chase:
            return self._remember(data, question, own, limit_bytes)
        if own is None:
            reply = self._remembered(question, limit_bytes)
            if reply is not None:
                return reply
        if self._group is None or self._pending >= PENDING_MAX:
            return self._counted(wire.build_reply(question, wire.SERVFAIL, authoritative=False))
        self._pending += 1
        self._group.create_task(self._answer_later(question, own, peer), name="dns-upstream")
        return None

    def _parse(self, data: bytes) -> Question | bytes | None:
        """The question; or the reply to what is none; or None for what deserves no reply."""
        if len(data) < wire.HEADER_BYTES or data[2] & 0x80:
            return None  # answering a response could go on for ever
        try:
            return wire.parse(data)
        except wire.BadMessage as bad:
            return self._counted(wire.error_reply(data, bad.rcode))

    def _remember(self, data: bytes, question: Question, own: Answer, limit_bytes: int) -> bytes:
        replies = [
            wire.build_reply(
                question, turned.rcode, turned.answers, turned.authority, turned.additional, limit_bytes=limit_bytes
            )
            for turned in rotations(own, ROTATIONS_MAX)
        ]
        if own.rcode == wire.SERVFAIL:
            return self._counted(replies[0])
        if len(self._memos) >= MEMO_MAX:
            self.forget()
        memo = self._memos[data[2:]] = _Memo(tuple(reply[2:] for reply in replies))
        memo.answered = 1
        return replies[0]

    def _remembered(self, question: Question, limit_bytes: int) -> bytes | None:
        try:
            reply = self._chain.remembered(question, limit_bytes=limit_bytes)
        except wire.BadMessage:
            return None
        return None if reply is None else self._counted(reply)

    async def _answer_later(self, question: Question, own: Answer | None, peer: tuple[str, int]) -> None:
        try:
            reply = await self._chain.resolve(question, own, limit_bytes=question.payload_max_bytes)
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.sendto(self._counted(reply), peer)
        finally:
            self._pending -= 1

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._streams >= STREAMS_MAX:
            writer.transport.abort()
            return
        self._streams += 1
        try:
            while True:
                async with asyncio.timeout(STREAM_IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                question = self._parse(data)
                if question is None:
                    break
                reply = question if isinstance(question, bytes) else await self._whole_reply(question)
                writer.write(len(reply).to_bytes(2, "big") + reply)
                async with asyncio.timeout(STREAM_IDLE_S):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # the client has gone, or says nothing
        finally:
            self._streams -= 1
            writer.close()

    async def _whole_reply(self, question: Question) -> bytes:
        own = self._chain.own(question)
        return self._counted(await self._chain.resolve(question, own, limit_bytes=wire.STREAM_MAX_BYTES))

    def _counted(self, reply: bytes) -> bytes:
        self._answers[reply[3] & 0xF] += 1
        return reply

    def _count_memos(self) -> None:
        for memo in self._memos.values():
            self._answers[memo.tails[0][1] & 0xF] += memo.answered
            memo.answered = 0
