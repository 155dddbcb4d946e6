"""Asks the node's own resolvers: from a random port under a random id, one after the other, by TCP if it gets long."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import random
from collections.abc import Sequence
from pathlib import Path

from netproxy.dns import wire
from netproxy.dns.wire import Question
from orchestrator.machinery.clock import Clock

TIMEOUT_S = 2.0
# Together below the five seconds after which a stub resolver asks again.
TRIES_MAX = 2
SERVERS_MAX = 3  # as the C library reads them
FLYING_MAX = 1_000
RELOAD_S = 5.0
DNS_PORT = 53


class NoAnswer(Exception):
    """No upstream resolver answered, or there is none."""


class Resolvers:
    """The name servers of a resolv.conf, followed as the file changes; `avoid` holds addresses that lead back to us."""

    def __init__(
        self, path: Path, avoid: Sequence[ipaddress.IPv4Network], clock: Clock, *, port: int = DNS_PORT
    ) -> None:
        self._path = path
        self._avoid = tuple(avoid)
        self._clock = clock
        self._port = port
        self._looked_at = -RELOAD_S
        self._stamp: tuple[int, int] | None = None
        self._servers: tuple[tuple[str, int], ...] = ()

    def servers(self) -> tuple[tuple[str, int], ...]:
        """Where to ask, in order of preference."""
        now = self._clock.monotonic()
        if now - self._looked_at >= RELOAD_S:
            self._looked_at = now
            try:
                status = os.stat(self._path)
                stamp = (status.st_mtime_ns, status.st_ino)
                if stamp != self._stamp:
                    self._servers = parse_resolvers(self._path.read_text(errors="replace"), self._avoid, self._port)
                    self._stamp = stamp
            except OSError:
                self._servers, self._stamp = (), None
        return self._servers


def parse_resolvers(
    text: str, avoid: Sequence[ipaddress.IPv4Network], port: int = DNS_PORT
) -> tuple[tuple[str, int], ...]:
    """The usable `nameserver` lines of a resolv.conf."""
    servers: list[tuple[str, int]] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ipaddress.ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            if not any(address in network for network in avoid):
                servers.append((words[1], port))
    return tuple(dict.fromkeys(servers))[:SERVERS_MAX]


class Forward:
    """The last link: `resolve` gives the upstream reply to a question, or raises `NoAnswer`."""

    def __init__(self, resolvers: Resolvers, *, dice: random.Random, timeout_s: float = TIMEOUT_S) -> None:
        self._resolvers = resolvers
        self._dice = dice
        self._timeout_s = timeout_s
        self._flying = 0
        self._start = 0  # the resolver that answered last goes first

    async def resolve(self, question: Question) -> bytes:
        """The whole reply, with its id and question section still upstream's."""
        servers = self._resolvers.servers()
        if not servers:
            raise NoAnswer("no upstream resolver is configured")
        if self._flying >= FLYING_MAX:
            raise NoAnswer("too many questions are waiting for upstream resolvers")
        self._flying += 1
        try:
            return await self._ask_in_turn(question, servers)
        finally:
            self._flying -= 1

    async def _ask_in_turn(self, question: Question, servers: Sequence[tuple[str, int]]) -> bytes:
        why = "no upstream resolver answered"
        for attempt in range(TRIES_MAX):
            index = (self._start + attempt) % len(servers)
            query = _query(question, self._dice.randrange(1 << 16))
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await _ask_by_datagram(query, servers[index])
                    if int.from_bytes(reply[2:4], "big") & wire.TC:
                        reply = await _ask_by_stream(query, servers[index])
            except (OSError, TimeoutError, EOFError) as lost:
                why = f"no answer from {servers[index][0]}: {lost!r}"
                continue
            if reply[3] & 0xF not in (wire.SERVFAIL, wire.REFUSED) or len(servers) == 1:
                self._start = index
                return reply
            why = f"{servers[index][0]} could not answer"
        raise NoAnswer(why)


def _query(question: Question, number: int) -> bytes:
    """Our own question for upstream: no option of the client's passes through."""
    flags = wire.RD | (question.flags & wire.CD)
    head = number.to_bytes(2, "big") + flags.to_bytes(2, "big") + b"\0\1\0\0\0\0\0\1"
    opt = b"\0\0\x29" + wire.DATAGRAM_MAX_BYTES.to_bytes(2, "big") + (b"\0\0\x80\0" if question.dnssec_ok else bytes(4))
    return head + question.wire + opt + b"\0\0"


def _is_reply(data: bytes, query: bytes) -> bool:
    """Whether `data` answers `query` and nothing else: id, QR, and the very same question."""
    end = len(query) - 11  # without our OPT record
    return (
        len(data) >= end
        and data[:2] == query[:2]
        and bool(data[2] & 0x80)
        and data[12:end].lower() == query[12:end].lower()
    )


class _Datagram(asyncio.DatagramProtocol):
    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self.reply.done() and _is_reply(data, self._query):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _ask_by_datagram(query: bytes, server: tuple[str, int]) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagram(query), remote_addr=server)
    try:
        transport.sendto(query)
        return await protocol.reply
    finally:
        transport.close()
        protocol.reply.cancel()


async def _ask_by_stream(query: bytes, server: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not _is_reply(reply, query):
        raise EOFError("the reply answers another question")
    return reply
