"""DNS messages, with dnspython as the judge."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netproxy.dns import wire
from netproxy.dns.wire import BadMessage, Record

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
names = st.lists(labels, min_size=1, max_size=6).map(".".join)


def a_query(name: str = "web.default.svc.cluster.local", kind: str = "A", **options) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


@given(names, st.sampled_from(["A", "AAAA", "SRV", "PTR", "SOA"]), st.booleans(), st.integers(512, 4096))
def test_queries_are_read_as_they_were_meant(name, kind, edns, payload):
    query = dns.message.make_query(name.upper(), kind, use_edns=0 if edns else -1, payload=payload, want_dnssec=edns)
    question = wire.parse(query.to_wire())
    assert (question.id, question.name, question.type) == (query.id, name, dns.rdatatype.from_text(kind))
    assert (question.edns, question.dnssec_ok) == (edns, edns)
    assert question.payload_max_bytes == (min(payload, 1232) if edns else 512)


@given(st.binary(max_size=300))
@example(b"\0" * 12)
@example(b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1")
@example(b"\0\1\1\0\0\1\0\0\0\0\0\1\0\0\1\0\1\xc0")
def test_no_bytes_make_the_reader_fail_otherwise_than_it_says(data):
    for read in (wire.parse, wire.reply_spans):
        with contextlib.suppress(BadMessage):
            read(data)


@given(st.data())
def test_no_damage_to_a_good_message_makes_it_fail_otherwise(data):
    message = bytearray(a_query(use_edns=0))
    for _ in range(data.draw(st.integers(1, 8))):
        message[data.draw(st.integers(2, len(message) - 1))] = data.draw(st.integers(0, 255))
    for read in (wire.parse, wire.reply_spans):
        with contextlib.suppress(BadMessage):
            read(bytes(message))


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        pytest.param(b"", wire.FORMERR, id="nothing"),
        pytest.param(b"\0\1\x28\0" + b"\0\1" + bytes(6) + b"\0\0\1\0\1", wire.NOTIMP, id="an-update"),
        pytest.param(b"\0\1\1\0" + bytes(8), wire.FORMERR, id="no-question"),
        pytest.param(b"\0\1\1\0\0\1" + bytes(6) + b"\0\0\1\0\3", wire.REFUSED, id="class-chaos"),
        pytest.param(a_query(use_edns=1), wire.BADVERS, id="edns-version-1"),
    ],
)
def test_what_cannot_be_answered_says_why(data, rcode):
    with pytest.raises(BadMessage) as caught:
        wire.parse(data)
    assert caught.value.rcode == rcode


def test_the_reply_to_an_unknown_edns_version_says_so():
    query = a_query(use_edns=1)
    reply = dns.message.from_wire(wire.error_reply(query, wire.BADVERS))
    assert reply.rcode() == dns.rcode.BADVERS


@given(
    names,
    st.lists(st.tuples(names, st.binary(min_size=4, max_size=4)), max_size=12),
    st.sampled_from([wire.NOERROR, wire.NXDOMAIN, wire.SERVFAIL]),
    st.booleans(),
)
def test_replies_are_read_by_others_as_they_were_built(name, found, rcode, edns):
    query = dns.message.make_query(name, "A", use_edns=0 if edns else -1)
    question = wire.parse(query.to_wire())
    records = [Record(owner, wire.A, 30, data) for owner, data in found]
    reply = dns.message.from_wire(wire.build_reply(question, rcode, records), one_rr_per_rrset=True)
    assert query.is_response(reply)
    assert reply.rcode() == rcode
    assert reply.edns == (0 if edns else -1)
    assert reply.flags & dns.flags.AA
    got = [(rrset.name.to_text(omit_final_dot=True), rrset[0].to_text()) for rrset in reply.answer]
    assert got == [(owner, ".".join(str(byte) for byte in data)) for owner, data in found]


def test_names_are_compressed():
    question = wire.parse(a_query())
    record = Record(question.name, wire.A, 5, b"\1\2\3\4")
    reply = wire.build_reply(question, 0, [record, Record("x." + question.name, wire.A, 5, b"\1\2\3\5")])
    assert len(reply) == 12 + len(question.wire) + 16 + 18


def test_what_does_not_fit_is_left_out_and_said():
    question = wire.parse(a_query())
    records = [Record(question.name, wire.A, 5, bytes([10, 0, 0, number])) for number in range(100)]
    reply = wire.build_reply(question, 0, records, limit_bytes=question.payload_max_bytes)
    assert len(reply) <= 512
    read = dns.message.from_wire(reply, ignore_trailing=False)
    assert read.flags & dns.flags.TC
    assert len(read.answer[0]) > 20  # old resolvers use what they get


def test_extras_that_do_not_fit_are_left_out_silently():
    question = wire.parse(a_query(kind="SRV"))
    extras = [Record(f"pod-{number}.x", wire.A, 5, bytes([10, 0, 0, number])) for number in range(100)]
    read = dns.message.from_wire(wire.build_reply(question, 0, additional=extras, limit_bytes=512))
    assert not read.flags & dns.flags.TC


@pytest.mark.parametrize("name", ["a" * 64 + ".x", ".".join(["abcdefgh"] * 40), "a..b"])
def test_names_that_no_message_can_carry_are_refused(name):
    with pytest.raises(BadMessage):
        wire.encode_name(name)


def test_a_dot_within_a_label_is_not_a_boundary():
    data = b"\0\1\1\0\0\1" + bytes(6) + b"\7web.def\5local\0\0\1\0\1"
    assert wire.parse(data).name == "web\\.def.local"
    assert dns.message.from_wire(wire.build_reply(wire.parse(data), wire.NXDOMAIN)).rcode() == wire.NXDOMAIN
