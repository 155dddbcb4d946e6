"""The DNS server over real sockets, asked by dnspython, with an upstream of our own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from netproxy.dns.chain import Chain
from netproxy.dns.plugins.cache import Cache
from netproxy.dns.plugins.forward import Forward, Resolvers, parse_resolvers
from netproxy.dns.plugins.kubernetes import Kubernetes
from netproxy.dns.records import Zone, names_of
from netproxy.dns.server import Server
from orchestrator.machinery.clock import SystemClock
from tests.support.network import a_service, a_slice, an_endpoint
from tests.support.relay import ADDRESS, a_free_port

pytestmark = pytest.mark.timeout(30)
NETWORK = ipaddress.IPv4Network("10.96.0.0/16")


class Upstream(asyncio.DatagramProtocol):
    """A resolver that answers everything with one address, or as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = False
        self.forge_first = False
        self.records = 1

    def connection_made(self, transport) -> None:
        self.transport = transport

    def answer(self, data: bytes, *, most: int = 65_535) -> bytes:
        query = dns.message.from_wire(data)
        name = query.question[0].name
        self.asked.append(name.to_text())
        reply = dns.message.make_response(query, our_payload=1232)
        if name.to_text().startswith("missing"):
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority.append(
                dns.rrset.from_text("example.com.", 60, "IN", "SOA", "ns.x. host.x. 1 7200 900 86400 60")
            )
        else:
            texts = [f"192.0.2.{number}" for number in range(1, self.records + 1)]
            reply.answer.append(dns.rrset.from_text(name, 300, "IN", "A", *texts))
        if len(reply.to_wire(max_size=65_535)) > most:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
        return reply.to_wire(max_size=65_535)

    def datagram_received(self, data, address) -> None:
        if self.silent:
            return
        if self.forge_first:
            forged = self.answer(data)
            self.transport.sendto(bytes([forged[0] ^ 1]) + forged[1:].replace(b"\xc0\0\2\1", b"\6\6\6\6"), address)
        self.transport.sendto(self.answer(data, most=1232), address)

    async def serve_stream(self, reader, writer) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        reply = self.answer(data)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()


class Setup:
    def __init__(self, server: Server, kubernetes: Kubernetes, zone: Zone, upstream: Upstream) -> None:
        self.server, self.kubernetes, self.zone, self.upstream = server, kubernetes, zone, upstream

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False, **options):
        query = dns.message.make_query(name, kind, **options)
        send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await send(query, ADDRESS, port=self.server.port, timeout=10)


def texts(reply) -> list[str]:
    return [item.to_text() for rrset in reply.answer for item in rrset]


@contextlib.asynccontextmanager
async def a_setup(directory: Path, *, patience_s: float = 10.0) -> AsyncIterator[Setup]:
    """A server that waits for its upstream for so long: what it says is not to depend on how busy the machine is."""
    upstream = Upstream()
    loop = asyncio.get_running_loop()
    port = a_free_port()
    transport, _ = await loop.create_datagram_endpoint(lambda: upstream, local_addr=(ADDRESS, port))
    streams = await asyncio.start_server(upstream.serve_stream, ADDRESS, port)
    (directory / "resolv.conf").write_text(f"nameserver 10.96.0.10\nnameserver {ADDRESS}\n")

    zone = Zone("cluster.local", "10.96.0.10")
    kubernetes = Kubernetes(zone, NETWORK)
    resolvers = Resolvers(directory / "resolv.conf", [NETWORK], SystemClock(), port=port)
    forward = Forward(resolvers, dice=random.Random(1), timeout_s=patience_s)
    server = Server(Chain([kubernetes], Cache(), forward, SystemClock()), ADDRESS, a_free_port())
    zone.replace("default/web", names_of(a_service(), [], "cluster.local"))
    pods = [an_endpoint(f"10.244.{number // 200}.{number % 200 + 1}") for number in range(300)]
    zone.replace("default/many", names_of(a_service("many", ip="None"), [a_slice("many", pods)], "cluster.local"))
    few = a_slice("few", [an_endpoint("10.244.9.1"), an_endpoint("10.244.9.2")])
    zone.replace("default/few", names_of(a_service("few", ip="None"), [few], "cluster.local"))
    out = a_service("docs", type="ExternalName", external_name="docs.example.com")
    zone.replace("default/docs", names_of(out, [], "cluster.local"))
    kubernetes.has_synced = True

    task = asyncio.create_task(server.run())
    try:
        await server.listening.wait()
        yield Setup(server, kubernetes, zone, upstream)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        transport.close()
        streams.close()


@pytest.fixture
async def setup(tmp_path):
    async with a_setup(tmp_path) as running:
        yield running


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_the_clusters_names_are_answered(setup, tcp):
    for _ in range(2):  # built, then remembered
        reply = await setup.ask("WEB.default.svc.cluster.local", tcp=tcp)
        assert texts(reply) == ["10.96.0.50"]
        assert reply.flags & dns.flags.AA
        assert (await setup.ask("none.default.svc.cluster.local", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
    assert setup.server.answers() == {"NOERROR": 2, "NXDOMAIN": 2}
    assert setup.upstream.asked == []


async def test_before_the_cluster_is_known_nothing_is_denied(setup):
    setup.kubernetes.has_synced = False
    for name, kind in (("none.default.svc.cluster.local", "A"), ("50.0.96.10.in-addr.arpa", "PTR")):
        assert (await setup.ask(name, kind)).rcode() == dns.rcode.SERVFAIL
    setup.kubernetes.has_synced = True
    assert (await setup.ask("none.default.svc.cluster.local")).rcode() == dns.rcode.NXDOMAIN


async def test_a_changed_name_is_answered_anew(setup):
    assert texts(await setup.ask("web.default.svc.cluster.local")) == ["10.96.0.50"]
    setup.zone.replace("default/web", names_of(a_service(ip="10.96.0.51"), [], "cluster.local"))
    setup.server.forget()
    assert texts(await setup.ask("web.default.svc.cluster.local")) == ["10.96.0.51"]


async def test_addresses_of_a_set_take_turns_at_being_first(setup):
    first = [texts(await setup.ask("few.default.svc.cluster.local"))[0] for _ in range(4)]
    assert first == ["10.244.9.1", "10.244.9.2"] * 2


async def test_too_long_for_a_datagram_comes_whole_by_tcp(setup):
    short = await setup.ask("many.default.svc.cluster.local", use_edns=0, payload=4096)
    assert short.flags & dns.flags.TC
    assert len(short.to_wire()) <= 1232
    assert len(texts(await setup.ask("many.default.svc.cluster.local", tcp=True))) == 300


async def test_other_names_are_asked_upstream_once_and_then_remembered(setup):
    for _ in range(3):
        reply = await setup.ask("www.Example.com", use_edns=0)
        assert texts(reply) == ["192.0.2.1"]
        assert not reply.flags & dns.flags.AA
    assert (await setup.ask("www.example.com", use_edns=-1)).edns == -1
    assert len(setup.upstream.asked) == 1


async def test_denials_from_upstream_are_passed_on_and_remembered(setup):
    for _ in range(2):
        reply = await setup.ask("missing.example.com")
        assert reply.rcode() == dns.rcode.NXDOMAIN
        assert len(reply.authority) == 1
    assert len(setup.upstream.asked) == 1


async def test_an_external_name_comes_with_its_targets_addresses(setup):
    for tcp in (False, True):
        reply = await setup.ask("docs.default.svc.cluster.local", tcp=tcp)
        assert texts(reply) == ["docs.example.com.", "192.0.2.1"]
    assert texts(await setup.ask("docs.default.svc.cluster.local", "CNAME")) == ["docs.example.com."]


async def test_long_upstream_replies_are_fetched_by_tcp(setup):
    setup.upstream.records = 200
    short = await setup.ask("big.example.com", use_edns=0, payload=1232)
    assert short.flags & dns.flags.TC
    assert len(texts(await setup.ask("big.example.com", tcp=True))) == 200


async def test_a_forged_reply_is_ignored(setup):
    setup.upstream.forge_first = True
    assert texts(await setup.ask("bank.example.com")) == ["192.0.2.1"]


async def test_a_silent_upstream_is_a_failure_and_nothing_else_waits_for_it(tmp_path):
    async with a_setup(tmp_path, patience_s=0.3) as setup:
        setup.upstream.silent = True
        waiting = asyncio.create_task(setup.ask("slow.example.com"))
        assert texts(await setup.ask("web.default.svc.cluster.local")) == ["10.96.0.50"]
        assert (await waiting).rcode() == dns.rcode.SERVFAIL


async def test_nonsense_is_answered_as_nonsense_or_not_at_all(setup):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((ADDRESS, setup.server.port))
        for nonsense in (b"", b"x", b"\0\1\x80\0" + bytes(8), bytes(12)):
            client.send(nonsense)
        async with asyncio.timeout(5):
            reply = dns.message.from_wire(await loop.sock_recv(client, 512))
        assert reply.rcode() == dns.rcode.FORMERR
    assert texts(await setup.ask("web.default.svc.cluster.local")) == ["10.96.0.50"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nameserver 192.0.2.1\nnameserver 192.0.2.2", ["192.0.2.1", "192.0.2.2"], id="in-order"),
        pytest.param("# nameserver 192.0.2.1\nsearch x\nnameserver 192.0.2.2 # ours", ["192.0.2.2"], id="comments"),
        pytest.param("nameserver 10.96.0.10", [], id="ourselves-are-no-upstream"),
        pytest.param("nameserver x\nnameserver", [], id="broken-lines"),
        pytest.param(
            "\n".join(f"nameserver 192.0.2.{n}" for n in range(9)), ["192.0.2.0", "192.0.2.1", "192.0.2.2"], id="three"
        ),
    ],
)
def test_resolvers_of_a_resolv_conf(text, expected):
    assert [address for address, _ in parse_resolvers(text, [NETWORK])] == expected
