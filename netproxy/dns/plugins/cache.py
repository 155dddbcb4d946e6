"""Remembers what upstream resolvers said, for as long as they said it holds."""

from __future__ import annotations

from dataclasses import dataclass

from netproxy.dns import wire
from netproxy.dns.wire import Question, Span

# However long a record says it lives: a cluster's view of the world must not be a day old.
POSITIVE_MAX_S = 3600
NEGATIVE_MAX_S = 30
ENTRIES_MAX = 4096

Key = tuple[str, int, bool, bool]


@dataclass(frozen=True, slots=True)
class _Entry:
    reply: bytes  # as it came, whole
    ttls: tuple[tuple[int, int], ...]  # where each TTL stands, and what it was
    stored_at: float
    expires_at: float


class Cache:
    """Whole replies by question. `now` is monotonic seconds."""

    def __init__(self, *, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: dict[Key, _Entry] = {}  # in the order stored
        self._entries_max = entries_max

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> bytes | None:
        """The reply stored for a question, its TTLs aged; None if there is none that still holds."""
        entry = self._entries.get(question.key)
        if entry is None:
            return None
        if now >= entry.expires_at:
            del self._entries[question.key]
            return None
        age_s = int(now - entry.stored_at)
        if not age_s:
            return entry.reply
        aged = bytearray(entry.reply)
        for at, ttl_s in entry.ttls:
            aged[at : at + 4] = max(0, ttl_s - age_s).to_bytes(4, "big")
        return bytes(aged)

    def put(self, question: Question, reply: bytes, now: float) -> None:
        """Store a reply if it may be: a complete answer or denial. Raises `wire.BadMessage` for a broken one."""
        rcode, (answers, authority, additional) = wire.reply_spans(reply)
        if int.from_bytes(reply[2:4], "big") & wire.TC:
            return
        lifetime_s = _lifetime_s(rcode, answers, authority)
        if lifetime_s <= 0:
            return
        ttls = tuple((span.ttl_at, span.ttl_s) for span in (*answers, *authority, *additional) if span.type != wire.OPT)
        self._entries.pop(question.key, None)
        if len(self._entries) >= self._entries_max:
            del self._entries[next(iter(self._entries))]
        self._entries[question.key] = _Entry(reply, ttls, now, now + lifetime_s)


def _lifetime_s(rcode: int, answers: list[Span], authority: list[Span]) -> int:
    if rcode == wire.NOERROR and answers:
        return min(POSITIVE_MAX_S, *(span.ttl_s for span in answers))
    if rcode in (wire.NOERROR, wire.NXDOMAIN):
        # RFC 2308: a denial holds as long as its SOA says; without one it is not to be kept.
        return min(NEGATIVE_MAX_S, *(span.ttl_s for span in authority), NEGATIVE_MAX_S) if authority else 0
    return 0
