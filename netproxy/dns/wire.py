"""DNS messages on the wire: queries of one question in, replies out. Only what a cluster's DNS needs, and fast."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_OPCODE = 0x7800
DNSSEC_OK = 0x8000

HEADER_BYTES = 12
# Without EDNS0 a datagram may carry this much (RFC 1035); with it, we send no more than passes unfragmented.
PLAIN_MAX_BYTES = 512
DATAGRAM_MAX_BYTES = 1232
STREAM_MAX_BYTES = 65_535
_NAME_MAX_BYTES = 255
_POINTERS_MAX = 64
_RECORDS_MAX = 1024

_HEADER = struct.Struct(">HHHHHH")
_QUESTION_TAIL = struct.Struct(">HH")
_RECORD_HEAD = struct.Struct(">HHIH")


class BadMessage(ValueError):
    """The bytes are not a DNS message that we read; `rcode` says how to answer, if at all."""

    def __init__(self, why: str, *, rcode: int = FORMERR) -> None:
        super().__init__(why)
        self.rcode = rcode


@dataclass(frozen=True, slots=True)
class Question:
    """A query. `name` is lower case without the final dot; `wire` is the question section just as it was sent."""

    id: int
    flags: int
    name: str
    type: int
    wire: bytes
    edns: bool = False
    dnssec_ok: bool = False
    payload_max_bytes: int = PLAIN_MAX_BYTES

    @property
    def key(self) -> tuple[str, int, bool, bool]:
        """What an answer depends on, whoever asks."""
        return self.name, self.type, self.dnssec_ok, bool(self.flags & CD)


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record of class IN; `data` is its uncompressed RDATA."""

    name: str
    type: int
    ttl_s: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """Where a record lies in a message."""

    name: str
    type: int
    start: int
    ttl_at: int
    ttl_s: int
    data_start: int
    end: int


def parse(data: bytes) -> Question:
    """Read a query; raises `BadMessage` and nothing else, whatever the bytes."""
    if len(data) < HEADER_BYTES:
        raise BadMessage("shorter than a header")
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & _OPCODE:
        raise BadMessage("not a standard query", rcode=NOTIMP)
    if questions != 1:
        raise BadMessage(f"{questions} questions")
    name, end = _plain_name(data, HEADER_BYTES)
    if end + 4 > len(data):
        raise BadMessage("the question is cut off")
    kind, klass = _QUESTION_TAIL.unpack_from(data, end)
    end += 4
    if klass != IN:
        raise BadMessage(f"class {klass}", rcode=REFUSED)
    wire = data[HEADER_BYTES:end]
    if not answers and not authorities and not additional:
        return Question(number, flags, name, kind, wire)
    for span in spans(data, end, answers + authorities + additional):
        if span.type == OPT:
            if (span.ttl_s >> 16) & 0xFF:
                raise BadMessage("EDNS version", rcode=BADVERS)
            offered = int.from_bytes(data[span.ttl_at - 2 : span.ttl_at], "big")
            payload = min(max(offered, PLAIN_MAX_BYTES), DATAGRAM_MAX_BYTES)
            return Question(number, flags, name, kind, wire, True, bool(span.ttl_s & DNSSEC_OK), payload)
    return Question(number, flags, name, kind, wire)


def spans(data: bytes, offset: int, count: int) -> Iterator[Span]:
    """The `count` records from `offset` on; raises `BadMessage` where the message breaks."""
    if count > _RECORDS_MAX:
        raise BadMessage(f"{count} records")
    for _ in range(count):
        start = offset
        name, offset = read_name(data, offset)
        if offset + 10 > len(data):
            raise BadMessage("a record is cut off")
        kind, _, ttl_s, length = _RECORD_HEAD.unpack_from(data, offset)
        end = offset + 10 + length
        if end > len(data):
            raise BadMessage("a record's data is cut off")
        yield Span(name, kind, start, offset + 4, ttl_s, offset + 10, end)
        offset = end


def reply_spans(data: bytes) -> tuple[int, tuple[list[Span], list[Span], list[Span]]]:
    """A reply's rcode, and its records by section; raises `BadMessage`."""
    if len(data) < HEADER_BYTES:
        raise BadMessage("shorter than a header")
    _, flags, questions, *counts = _HEADER.unpack_from(data)
    offset = HEADER_BYTES
    for _ in range(min(questions, 2)):
        _, offset = read_name(data, offset)
        offset += 4
    found = list(spans(data, offset, sum(counts)))
    first, second = counts[0], counts[0] + counts[1]
    return flags & 0xF, (found[:first], found[first:second], found[second:])


def records(data: bytes, found: Sequence[Span]) -> list[Record]:
    """The records of address and alias types among `found`, with names in their data uncompressed."""
    result: list[Record] = []
    for span in found:
        if "\\" in span.name:
            continue  # an escaped name is no host's, and we could not spell it again
        raw = data[span.data_start : span.end]
        if span.type == CNAME:
            target, _ = read_name(data, span.data_start)
            result.append(Record(span.name, span.type, span.ttl_s, encode_name(target)))
        elif span.type in (A, AAAA):
            result.append(Record(span.name, span.type, span.ttl_s, raw))
    return result


def read_name(data: bytes, offset: int) -> tuple[str, int]:
    """The lower-case name at `offset`, compressed or not, and the offset after it."""
    labels: list[str] = []
    length_bytes = 0
    after = -1
    for _ in range(_NAME_MAX_BYTES + _POINTERS_MAX):
        if offset >= len(data):
            raise BadMessage("a name is cut off")
        size = data[offset]
        if size >= 0xC0:
            if offset + 1 >= len(data):
                raise BadMessage("a name is cut off")
            if after < 0:
                after = offset + 2
            target = (size & 0x3F) << 8 | data[offset + 1]
            if target >= offset:
                raise BadMessage("a name points forward")
            offset = target
            continue
        if size > 63:
            raise BadMessage("an unknown kind of label")
        offset += 1
        if size == 0:
            return ".".join(labels), offset if after < 0 else after
        length_bytes += size + 1
        if offset + size > len(data) or length_bytes >= _NAME_MAX_BYTES:
            raise BadMessage("a name is cut off or too long")
        labels.append(_label(data[offset : offset + size]))
        offset += size
    raise BadMessage("a name without end")


def _plain_name(data: bytes, offset: int) -> tuple[str, int]:
    end = data.find(b"\0", offset)
    if end < 0 or end - offset >= _NAME_MAX_BYTES:
        raise BadMessage("a name is cut off or too long")
    labels: list[str] = []
    while True:
        size = data[offset]
        offset += 1
        if size == 0:
            return ".".join(labels), offset
        if size > 63 or offset + size >= len(data):
            raise BadMessage("a question's name is cut off or compressed")
        labels.append(_label(data[offset : offset + size]))
        offset += size


def _label(raw: bytes) -> str:
    text = raw.decode("latin-1").lower()
    return text.replace("\\", "\\\\").replace(".", "\\.") if "." in text or "\\" in text else text


def encode_name(name: str) -> bytes:
    """A name without escapes as labels, uncompressed; raises `BadMessage` for one that does not fit."""
    if not name:
        return b"\0"
    parts = bytearray()
    for label in name.rstrip(".").split("."):
        raw = label.encode("latin-1", "replace")
        if not 0 < len(raw) < 64:
            raise BadMessage(f"cannot encode the name {name!r}")
        parts.append(len(raw))
        parts += raw
    if len(parts) >= _NAME_MAX_BYTES:
        raise BadMessage(f"cannot encode the name {name!r}")
    parts.append(0)
    return bytes(parts)


def build_reply(
    question: Question,
    rcode: int,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    *,
    authoritative: bool = True,
    limit_bytes: int = STREAM_MAX_BYTES,
) -> bytes:
    """The reply to `question`, compressed. What does not fit is left out: answers with the TC flag, extras without."""
    flags = QR | RA | (question.flags & (RD | CD)) | (AA if authoritative else 0) | (rcode & 0xF)
    message = bytearray(HEADER_BYTES) + question.wire
    offsets = {question.name: HEADER_BYTES}
    _note_suffixes(offsets, question.name, HEADER_BYTES)
    opt = b"\0" + _RECORD_HEAD.pack(OPT, DATAGRAM_MAX_BYTES, (rcode >> 4) << 24, 0) if question.edns else b""
    room = limit_bytes - len(opt)
    counts = [0, 0, 0]
    for section, group in enumerate((answers, authority, additional)):
        for record in group:
            before = len(message)
            _append(message, offsets, record)
            if len(message) > room:
                del message[before:]
                if section < 2:
                    flags |= TC
                break
            counts[section] += 1
        else:
            continue
        break
    message += opt
    _HEADER.pack_into(message, 0, question.id, flags, 1, counts[0], counts[1], counts[2] + bool(opt))
    return bytes(message)


def error_reply(data: bytes, rcode: int) -> bytes:
    """The reply to a message that was not understood beyond its header."""
    flags = QR | RA | (int.from_bytes(data[2:4], "big") & (_OPCODE | RD)) | (rcode & 0xF)
    extended = rcode >> 4  # only EDNS0 has room for it
    opt = b"\0" + _RECORD_HEAD.pack(OPT, DATAGRAM_MAX_BYTES, extended << 24, 0) if extended else b""
    return _HEADER.pack(int.from_bytes(data[:2], "big"), flags, 0, 0, 0, bool(opt)) + opt


def _append(message: bytearray, offsets: dict[str, int], record: Record) -> None:
    name = record.name
    while name and name not in offsets:
        label, _, rest = name.partition(".")
        if len(message) < 0x4000:
            offsets[name] = len(message)
        raw = label.encode("latin-1")
        message.append(len(raw))
        message += raw
        name = rest
    message += (0xC000 | offsets[name]).to_bytes(2, "big") if name else b"\0"
    message += _RECORD_HEAD.pack(record.type, IN, record.ttl_s, len(record.data))
    message += record.data


def _note_suffixes(offsets: dict[str, int], name: str, start: int) -> None:
    if "\\" in name:
        return  # escaped names do not map one to one to bytes: no compression against them
    while name:
        offsets.setdefault(name, start)
        label, _, name = name.partition(".")
        start += len(label) + 1
