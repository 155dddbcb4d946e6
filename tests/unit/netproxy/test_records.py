"""What the cluster's names say."""

from __future__ import annotations

import socket

import pytest

from netproxy.dns import wire
from netproxy.dns.records import Zone, names_of
from tests.support.network import a_port, a_service, a_slice, an_endpoint

SERVICE = a_service("web", ports=[a_port(80, "http"), a_port(53, "dns", protocol="UDP")])
SERVICE_SLICE = a_slice("web", [an_endpoint("10.244.1.9", hostname="named")], port_name="http")
SET = a_service("db", ip="None", ports=[a_port(6379, "redis")])
SET_SLICE = a_slice(
    "db",
    [
        an_endpoint("10.244.1.5", hostname="db-0"),
        an_endpoint("10.244.2.6", hostname="db-1"),
        an_endpoint("10.244.2.7"),
        an_endpoint("10.244.2.8", ready=False, hostname="db-9"),
    ],
    port=6379,
    port_name="redis",
)
OUTSIDE = a_service("docs", ip="", type="ExternalName", external_name="Docs.Example.com.")
INSIDE = a_service("alias", ip="", type="ExternalName", external_name="web.default.svc.cluster.local")
EMPTY = a_service("empty", ip="None")
SUFFIX = ".default.svc.cluster.local"


@pytest.fixture
def zone() -> Zone:
    zone = Zone("cluster.local", "10.96.0.10")
    slices = {"web": [SERVICE_SLICE], "db": [SET_SLICE]}
    for service in (SERVICE, SET, OUTSIDE, INSIDE, EMPTY):
        name = service.metadata.name
        zone.replace(f"default/{name}", names_of(service, slices.get(name, []), "cluster.local"))
    return zone


def read(record) -> str:
    match record.type:
        case wire.A:
            return socket.inet_ntoa(record.data)
        case wire.SRV:
            return f"{int.from_bytes(record.data[4:6], 'big')} {wire.read_name(record.data, 6)[0]}"
        case wire.TXT:
            return record.data[1:].decode()
        case _:
            return wire.read_name(record.data, 0)[0]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        pytest.param("web" + SUFFIX, wire.A, ["10.96.0.50"], id="a-service"),
        pytest.param("_http._tcp.web" + SUFFIX, wire.SRV, ["80 web" + SUFFIX], id="a-named-port"),
        pytest.param("_dns._udp.web" + SUFFIX, wire.SRV, ["53 web" + SUFFIX], id="a-named-udp-port"),
        pytest.param("web" + SUFFIX, wire.SRV, ["80 web" + SUFFIX, "53 web" + SUFFIX], id="all-ports"),
        pytest.param("50.0.96.10.in-addr.arpa", wire.PTR, ["web" + SUFFIX], id="a-service-address-reversed"),
        pytest.param("db" + SUFFIX, wire.A, ["10.244.1.5", "10.244.2.6", "10.244.2.7"], id="a-headless-set"),
        pytest.param("db-0.db" + SUFFIX, wire.A, ["10.244.1.5"], id="a-pod-of-a-set"),
        pytest.param("10-244-2-7.db" + SUFFIX, wire.A, ["10.244.2.7"], id="a-pod-without-hostname"),
        pytest.param("6.2.244.10.in-addr.arpa", wire.PTR, ["db-1.db" + SUFFIX], id="a-pod-reversed"),
        pytest.param(
            "_redis._tcp.db" + SUFFIX,
            wire.SRV,
            [f"6379 db-0.db{SUFFIX}", f"6379 db-1.db{SUFFIX}", f"6379 10-244-2-7.db{SUFFIX}"],
            id="a-port-of-a-set",
        ),
        pytest.param("docs" + SUFFIX, wire.CNAME, ["docs.example.com"], id="an-external-name"),
        pytest.param("docs" + SUFFIX, wire.A, ["docs.example.com"], id="the-alias-before-its-target"),
        pytest.param("alias" + SUFFIX, wire.A, ["web" + SUFFIX, "10.96.0.50"], id="an-alias-within-the-cluster"),
        pytest.param("10-244-9-9.default.pod.cluster.local", wire.A, ["10.244.9.9"], id="a-pod-by-address"),
        pytest.param("cluster.local", wire.NS, ["ns.dns.cluster.local"], id="the-server"),
        pytest.param("ns.dns.cluster.local", wire.A, ["10.96.0.10"], id="the-servers-address"),
        pytest.param("dns-version.cluster.local", wire.TXT, ["1.1.0"], id="the-version-of-the-rules"),
    ],
)
def test_names_that_say_something(zone, name, kind, expected):
    answer = zone.lookup(name, kind)
    assert answer is not None
    assert (answer.rcode, [read(record) for record in answer.answers]) == (wire.NOERROR, expected)


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        pytest.param("web" + SUFFIX, wire.AAAA, wire.NOERROR, id="no-ipv6-is-an-empty-answer"),
        pytest.param("default.svc.cluster.local", wire.A, wire.NOERROR, id="a-namespace-exists"),
        pytest.param("svc.cluster.local", wire.A, wire.NOERROR, id="svc-exists"),
        pytest.param("_tcp.web" + SUFFIX, wire.SRV, wire.NOERROR, id="a-name-with-names-below"),
        pytest.param("none" + SUFFIX, wire.A, wire.NXDOMAIN, id="no-such-service"),
        pytest.param("none.default.svc.cluster.local.default.svc.cluster.local", wire.A, wire.NXDOMAIN, id="search"),
        pytest.param("db-9.db" + SUFFIX, wire.A, wire.NXDOMAIN, id="a-pod-that-is-not-ready"),
        pytest.param("empty" + SUFFIX, wire.A, wire.NXDOMAIN, id="a-headless-set-of-nobody"),
        pytest.param("web.other.svc.cluster.local", wire.A, wire.NXDOMAIN, id="another-namespace"),
        pytest.param("300-1-1-1.default.pod.cluster.local", wire.A, wire.NXDOMAIN, id="not-an-address"),
    ],
)
def test_names_that_say_nothing_and_names_that_do_not_exist(zone, name, kind, rcode):
    answer = zone.lookup(name, kind)
    assert answer is not None
    assert (answer.rcode, answer.answers) == (rcode, ())
    assert [record.type for record in answer.authority] == [wire.SOA]


@pytest.mark.parametrize(
    "name", ["example.com", "cluster.local.example.com", "mycluster.local", "9.9.9.9.in-addr.arpa"]
)
def test_names_of_others_are_left_to_others(zone, name):
    assert zone.lookup(name, wire.A) is None


def test_an_external_name_is_to_be_followed_outside(zone):
    answer = zone.lookup("docs" + SUFFIX, wire.A)
    assert answer is not None
    assert answer.chase == "docs.example.com"


def test_srv_answers_bring_the_addresses_along(zone):
    answer = zone.lookup("_redis._tcp.db" + SUFFIX, wire.SRV)
    assert answer is not None
    assert [read(record) for record in answer.additional] == ["10.244.1.5", "10.244.2.6", "10.244.2.7"]


def test_an_external_name_that_fits_in_no_message_is_a_failure_and_no_crash(zone):
    zone.replace(
        "default/bad", names_of(a_service("bad", type="ExternalName", external_name="a" * 70), [], "cluster.local")
    )
    answer = zone.lookup("bad" + SUFFIX, wire.A)
    assert answer is not None
    assert answer.rcode == wire.SERVFAIL


def test_a_service_that_goes_takes_its_names_along_and_leaves_the_others(zone):
    zone.replace("default/web", {})
    gone, kept = zone.lookup("web" + SUFFIX, wire.A), zone.lookup("default.svc.cluster.local", wire.A)
    assert gone is not None
    assert kept is not None
    assert (gone.rcode, kept.rcode) == (wire.NXDOMAIN, wire.NOERROR)
    for name in ("db", "docs", "alias", "empty"):
        zone.replace(f"default/{name}", {})
    empty = zone.lookup("default.svc.cluster.local", wire.A)
    assert empty is not None
    assert empty.rcode == wire.NXDOMAIN


def test_two_services_that_point_at_one_pod_both_answer_for_its_address(zone):
    other = a_service("other", ip="None")
    zone.replace(
        "default/other", names_of(other, [a_slice("other", [an_endpoint("10.244.1.5", hostname="x")])], "cluster.local")
    )
    answer = zone.lookup("5.1.244.10.in-addr.arpa", wire.PTR)
    assert answer is not None
    assert sorted(read(record) for record in answer.answers) == ["db-0.db" + SUFFIX, "x.other" + SUFFIX]


def test_a_service_locator_says_how_weighty_each_of_its_places_is(zone):
    """Priority, weight, port: 100 over all, and 1 at least."""
    many = [an_endpoint(f"10.244.3.{number}", hostname=f"m-{number}") for number in range(150)]
    piece = a_slice("many", many, port=80, port_name="http")
    zone.replace("default/many", names_of(a_service("many", ip="None"), [piece], "cluster.local"))
    for name, weight in (("_http._tcp.web", 100), ("web", 50), ("_redis._tcp.db", 33), ("_http._tcp.many", 1)):
        answer = zone.lookup(name + SUFFIX, wire.SRV)
        assert answer is not None
        numbers = {
            (int.from_bytes(one.data[:2], "big"), int.from_bytes(one.data[2:4], "big")) for one in answer.answers
        }
        assert numbers == {(0, weight)}


@pytest.mark.parametrize("port", [-1, 0, 65_536])
def test_a_port_that_is_none_has_no_name(port):
    for service in (a_service("x", ports=[a_port(port, "odd")]), a_service("x", ip="None")):
        names = names_of(
            service, [a_slice("x", [an_endpoint("10.244.1.1")], port=port, port_name="odd")], "cluster.local"
        )
        assert not any(name.startswith("_odd") for name in names)
        assert not any(says.get(wire.SRV) for says in names.values())


def test_the_zone_says_how_old_it_is_and_how_long_to_believe_that_something_is_not(zone):
    def numbers() -> list[int]:
        answer = zone.lookup("cluster.local", wire.SOA)
        assert answer is not None
        (record,) = answer.answers
        return [
            int.from_bytes(record.data[at : at + 4], "big") for at in range(len(record.data) - 20, len(record.data), 4)
        ]

    serial, *times = numbers()
    assert times == [7200, 1800, 86_400, 5]
    zone.replace("default/web", {})
    assert numbers() == [serial + 1, *times]


def test_a_pod_without_a_host_name_has_no_name_in_reverse(zone):
    assert zone.lookup("7.2.244.10.in-addr.arpa", wire.PTR) is None
