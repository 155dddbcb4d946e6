"""What upstream said, and for how long it holds."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from netproxy.dns import wire
from netproxy.dns.plugins.cache import NEGATIVE_MAX_S, POSITIVE_MAX_S, Cache
from netproxy.dns.wire import BadMessage, Question

SOA = dns.rrset.from_text("example.com.", 600, "IN", "SOA", "ns.example.com. host.example.com. 1 7200 900 86400 600")


def asked(name: str = "www.example.com") -> tuple[Question, dns.message.Message]:
    query = dns.message.make_query(name, "A")
    return wire.parse(query.to_wire()), dns.message.make_response(query)


def an_address(name: str, ttl_s: int) -> dns.rrset.RRset:
    return dns.rrset.from_text(name + ".", ttl_s, "IN", "A", "192.0.2.1")


def lifetime(cache: Cache, question: Question) -> int:
    """For how many whole seconds after 0 the cache answers."""
    return next((second for second in range(0, 10_000, 10) if cache.get(question, second) is None), -1)


def test_an_answer_lives_as_long_as_its_shortest_record_and_ages():
    cache = Cache()
    question, reply = asked()
    reply.answer += [an_address("www.example.com", 300), an_address("cdn.example.com", 100)]
    cache.put(question, reply.to_wire(), 0.0)
    aged = dns.message.from_wire(cache.get(question, 40.7) or b"")
    assert [rrset.ttl for rrset in aged.answer] == [260, 60]
    assert lifetime(cache, question) == 100
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("ttl_s", "expected"),
    [pytest.param(0, 0, id="not-at-all"), pytest.param(86_400, POSITIVE_MAX_S, id="not-for-a-day")],
)
def test_the_lifetime_of_an_answer_has_limits(ttl_s, expected):
    cache = Cache()
    question, reply = asked()
    reply.answer.append(an_address("www.example.com", ttl_s))
    cache.put(question, reply.to_wire(), 0.0)
    assert lifetime(cache, question) == expected


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
def test_a_denial_lives_shortly_and_only_with_its_soa(rcode):
    cache = Cache()
    question, reply = asked()
    reply.set_rcode(rcode)
    cache.put(question, reply.to_wire(), 0.0)
    assert len(cache) == 0
    reply.authority.append(SOA)
    cache.put(question, reply.to_wire(), 0.0)
    assert lifetime(cache, question) == NEGATIVE_MAX_S


def test_failures_and_cut_replies_are_not_remembered():
    cache = Cache()
    question, reply = asked()
    reply.answer.append(an_address("www.example.com", 300))
    reply.flags |= dns.flags.TC
    cache.put(question, reply.to_wire(), 0.0)
    question, reply = asked()
    reply.set_rcode(dns.rcode.SERVFAIL)
    cache.put(question, reply.to_wire(), 0.0)
    assert len(cache) == 0


def test_a_broken_reply_is_refused():
    question, reply = asked()
    reply.answer.append(an_address("www.example.com", 300))
    with pytest.raises(BadMessage):
        Cache().put(question, reply.to_wire()[:-3], 0.0)


def test_the_oldest_makes_room():
    cache = Cache(entries_max=2)
    questions = []
    for number in range(3):
        question, reply = asked(f"w{number}.example.com")
        reply.answer.append(an_address(f"w{number}.example.com", 300))
        cache.put(question, reply.to_wire(), 0.0)
        questions.append(question)
    assert [cache.get(question, 1.0) is None for question in questions] == [True, False, False]
