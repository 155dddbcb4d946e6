"""The order in which a question is answered: the cluster's names, what upstream said before, upstream itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from netproxy.dns import wire
from netproxy.dns.plugins.cache import Cache
from netproxy.dns.plugins.forward import NoAnswer
from netproxy.dns.records import Answer
from netproxy.dns.wire import Question, Record
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)


class Local(Protocol):
    """A link that answers from memory, or leaves the question to the next by None."""

    def answer(self, question: Question) -> Answer | None: ...


class Upstream(Protocol):
    """A link that asks somebody else; raises `NoAnswer`."""

    async def resolve(self, question: Question) -> bytes: ...


class Chain:
    """`answer` at once if that is possible; `resolve` where it is not."""

    def __init__(self, local: Sequence[Local], cache: Cache, upstream: Upstream, clock: Clock) -> None:
        self._local = tuple(local)
        self._cache = cache
        self._upstream = upstream
        self._clock = clock

    def own(self, question: Question) -> Answer | None:
        """What the cluster itself says; with `chase` set, `resolve` has to finish it."""
        for link in self._local:
            try:
                answer = link.answer(question)
            except wire.BadMessage:
                return Answer(wire.SERVFAIL)  # an object with a name that no message can carry
            if answer is not None:
                return answer
        return None

    def remembered(self, question: Question, *, limit_bytes: int) -> bytes | None:
        """What upstream said before, if that still holds."""
        reply = self._cache.get(question, self._clock.monotonic())
        return None if reply is None else _readdressed(reply, question, limit_bytes)

    async def resolve(self, question: Question, own: Answer | None, *, limit_bytes: int) -> bytes:
        """The reply, from upstream if need be. Never raises: what fails is SERVFAIL."""
        try:
            if own is None:
                return _readdressed(await self._fetch(question), question, limit_bytes)
            answers = await self._chased(question, own) if own.chase else own.answers
            return wire.build_reply(
                question, own.rcode, answers, own.authority, own.additional, limit_bytes=limit_bytes
            )
        except (NoAnswer, wire.BadMessage) as lost:
            logger.debug("dns.unresolved", name=question.name[:256], why=str(lost)[:256])
            return wire.build_reply(question, wire.SERVFAIL, authoritative=False, limit_bytes=limit_bytes)

    async def _fetch(self, question: Question) -> bytes:
        reply = self._cache.get(question, self._clock.monotonic())
        if reply is None:
            reply = await self._upstream.resolve(question)
            self._cache.put(question, reply, self._clock.monotonic())
        return reply

    async def _chased(self, question: Question, own: Answer) -> tuple[Record, ...]:
        """The alias, followed by what its target says: stub resolvers do not follow aliases themselves."""
        if question.type not in (wire.A, wire.AAAA):
            return own.answers
        target = wire.encode_name(own.chase) + question.wire[-4:]
        onward = replace(question, name=own.chase, wire=target)
        reply = await self._fetch(onward)
        _, (found, _, _) = wire.reply_spans(reply)
        return (*own.answers, *wire.records(reply, found))


def _readdressed(reply: bytes, question: Question, limit_bytes: int) -> bytes:
    """An upstream reply as ours to `question`: its id and spelling, and no more than it can take.

    Raises `wire.BadMessage` if it is no reply to that question at all.
    """
    end = wire.HEADER_BYTES + len(question.wire)
    rcode, (answers, authority, additional) = wire.reply_spans(reply)
    if len(reply) < end or reply[4:6] != b"\0\1":
        raise wire.BadMessage("the reply carries another question")
    flags = wire.QR | wire.RA | (int.from_bytes(reply[2:4], "big") & wire.TC)
    flags |= (question.flags & (wire.RD | wire.CD)) | rcode
    opts = [span for span in additional if span.type == wire.OPT]
    body = reply[end:]
    extras = len(additional)
    if opts and not question.edns:
        if opts[-1].end != len(reply) or len(opts) != 1:
            raise wire.BadMessage("the reply's OPT record is not its last")
        body = reply[end : opts[0].start]
        extras -= 1
    counts = (1, len(answers), len(authority), extras)
    if end + len(body) > limit_bytes:
        body, counts, flags = b"", (1, 0, 0, 0), flags | wire.TC
    head = question.id.to_bytes(2, "big") + flags.to_bytes(2, "big")
    return head + b"".join(count.to_bytes(2, "big") for count in counts) + question.wire + body


def rotations(answer: Answer, limit: int) -> list[Answer]:
    """The same answer starting with each of its records in turn, so that clients who take the first are spread."""
    count = len(answer.answers)
    if count < 2 or answer.chase or answer.answers[0].type == wire.CNAME:
        return [answer]
    step = max(1, count // limit)
    return [
        replace(answer, answers=answer.answers[start:] + answer.answers[:start])
        for start in range(0, count, step)[:limit]
    ]
