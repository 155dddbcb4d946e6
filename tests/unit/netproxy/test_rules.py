"""Services and endpoint slices to rules: what a client that dials an address gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netproxy.rules import ANY_ADDRESS, Backend, Drop, Frontend, Here, Put, Rule, apply, diff, merge, rules_of
from orchestrator.api import codec
from orchestrator.api.views.network import LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from tests.support.network import a_port, a_service, a_slice, an_endpoint

HERE = Here(node="n1", zone="east")
WEB = Frontend("TCP", "10.96.0.50", 80)


def backends(*addresses: str, port: int = 8080) -> tuple[Backend, ...]:
    return tuple(Backend(address, port) for address in addresses)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param([], (), id="no-endpoints-no-back-ends"),
        pytest.param([an_endpoint("10.0.0.2"), an_endpoint("10.0.0.1")], backends("10.0.0.1", "10.0.0.2"), id="sorted"),
        pytest.param([an_endpoint("10.0.0.1", ready=None)], backends("10.0.0.1"), id="unsaid-readiness-is-ready"),
        pytest.param(
            [an_endpoint("10.0.0.1", ready=False), an_endpoint("10.0.0.2")],
            backends("10.0.0.2"),
            id="not-ready-leaves-at-once",
        ),
        pytest.param([an_endpoint("10.0.0.1", ready=False)], (), id="not-ready-is-no-last-resort"),
        pytest.param(
            [an_endpoint("10.0.0.1", ready=False, serving=True, terminating=True)],
            backends("10.0.0.1"),
            id="ending-but-serving-is-the-last-resort",
        ),
        pytest.param(
            [an_endpoint("10.0.0.1", ready=False, serving=True, terminating=True), an_endpoint("10.0.0.2")],
            backends("10.0.0.2"),
            id="the-last-resort-only-when-none-is-ready",
        ),
        pytest.param(
            [an_endpoint("10.0.0.1", ready=False, serving=False, terminating=True)], (), id="ending-and-not-serving"
        ),
        pytest.param([an_endpoint("10.0.0.1"), an_endpoint("10.0.0.1")], backends("10.0.0.1"), id="once-each"),
        pytest.param([an_endpoint("fd00::5"), an_endpoint("no-address")], (), id="what-no-socket-takes-is-passed-over"),
        pytest.param(
            [an_endpoint("10.0.0.1", zones=["east"]), an_endpoint("10.0.0.2", zones=["west"])],
            backends("10.0.0.1"),
            id="hinted-for-our-zone",
        ),
        pytest.param(
            [an_endpoint("10.0.0.1", zones=["west"]), an_endpoint("10.0.0.2", zones=["west"])],
            backends("10.0.0.1", "10.0.0.2"),
            id="nothing-hinted-for-us-means-all",
        ),
        pytest.param(
            [an_endpoint("10.0.0.1", zones=["east"]), an_endpoint("10.0.0.2")],
            backends("10.0.0.1", "10.0.0.2"),
            id="hints-must-be-complete",
        ),
        pytest.param(
            [
                an_endpoint("10.0.0.1", zones=["east"], nodes=["n2"]),
                an_endpoint("10.0.0.2", zones=["west"], nodes=["n1"]),
            ],
            backends("10.0.0.2"),
            id="our-node-before-our-zone",
        ),
    ],
)
def test_the_back_ends_of_a_service(endpoints, expected):
    rules = rules_of(a_service(), [a_slice(endpoints=endpoints)], HERE)
    assert rules == {WEB: Rule("default/web", expected)}


def test_endpoints_of_all_slices_count_and_only_ipv4_ones():
    slices = [
        a_slice(endpoints=[an_endpoint("10.0.0.1")], suffix="a"),
        a_slice(endpoints=[an_endpoint("10.0.0.2")], suffix="b"),
        a_slice(endpoints=[an_endpoint("fd00::1")], suffix="c", address_type="IPv6"),
    ]
    assert rules_of(a_service(), slices, HERE)[WEB].backends == backends("10.0.0.1", "10.0.0.2")


def test_ports_are_matched_by_name_and_protocol():
    service = a_service(ports=[a_port(80, "http"), a_port(53, "dns", protocol="UDP"), a_port(9, "gone")])
    slices = [
        a_slice(endpoints=[an_endpoint("10.0.0.1")], port=8080, port_name="http", suffix="a"),
        a_slice(endpoints=[an_endpoint("10.0.0.1")], port=5353, port_name="dns", protocol="UDP", suffix="b"),
    ]
    assert rules_of(service, slices, HERE) == {
        Frontend("TCP", "10.96.0.50", 80): Rule("default/web:http", backends("10.0.0.1")),
        Frontend("UDP", "10.96.0.50", 53): Rule("default/web:dns", backends("10.0.0.1", port=5353)),
        Frontend("TCP", "10.96.0.50", 9): Rule("default/web:gone"),
    }


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(a_service(ip="None"), id="headless"),
        pytest.param(a_service(ip=""), id="no-address-yet"),
        pytest.param(a_service(ip="", type="ExternalName", external_name="example.com"), id="external-name"),
        pytest.param(a_service(labels={"service.kubernetes.io/service-proxy-name": "x"}), id="another-proxy-serves-it"),
        pytest.param(a_service(ports=[a_port(protocol="SCTP")]), id="sctp"),
        pytest.param(a_service(ip="fd00::5"), id="ipv6"),
    ],
)
def test_services_that_are_not_ours_to_proxy_have_no_rules(service):
    assert rules_of(service, [a_slice(endpoints=[an_endpoint()])], HERE) == {}


def test_node_ports_listen_on_every_address_and_external_ips_on_their_own():
    service = a_service(type="NodePort", ports=[a_port(80, node_port=30080)], external_ips=("192.0.2.7", "fd00::9"))
    rule = Rule("default/web", backends("10.0.0.1"))
    assert rules_of(service, [a_slice(endpoints=[an_endpoint("10.0.0.1")])], HERE) == {
        WEB: rule,
        Frontend("TCP", ANY_ADDRESS, 30080): rule,
        Frontend("TCP", "192.0.2.7", 80): rule,
    }


def test_load_balancer_addresses_admit_only_their_source_ranges_unless_a_real_balancer_stands_before_them():
    service = a_service(type="LoadBalancer", load_balancer_source_ranges=("198.51.100.0/24",))
    ingress = (LoadBalancerIngress(ip="203.0.113.1"), LoadBalancerIngress(ip="203.0.113.2", ip_mode="Proxy"))
    service = Service(service.metadata, service.spec, ServiceStatus(LoadBalancerStatus(ingress)))
    rules = rules_of(service, [a_slice(endpoints=[an_endpoint("10.0.0.1")])], HERE)
    guarded = Rule("default/web", backends("10.0.0.1"), 0, ("198.51.100.0/24",))
    assert rules == {WEB: Rule("default/web", backends("10.0.0.1")), Frontend("TCP", "203.0.113.1", 80): guarded}


def test_local_traffic_policies_keep_to_this_node_each_for_its_side():
    endpoints = [an_endpoint("10.0.0.1", node="n1"), an_endpoint("10.0.0.2", node="n2")]
    both, own = backends("10.0.0.1", "10.0.0.2"), backends("10.0.0.1")
    ports = [a_port(80, node_port=30080)]
    outside = a_service(type="NodePort", ports=ports, external_traffic_policy="Local")
    inside = a_service(type="NodePort", ports=ports, internal_traffic_policy="Local")
    node_port = Frontend("TCP", ANY_ADDRESS, 30080)
    found = [rules_of(service, [a_slice(endpoints=endpoints)], HERE) for service in (outside, inside)]
    assert [(rules[WEB].backends, rules[node_port].backends) for rules in found] == [(both, own), (own, both)]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param(a_service(), 0, id="none"),
        pytest.param(a_service(session_affinity="ClientIP"), 10_800, id="three-hours-by-default"),
        pytest.param(a_service(affinity_s=30), 30, id="as-said"),
    ],
)
def test_session_affinity(service, expected):
    assert rules_of(service, [], HERE)[WEB].affinity_s == expected


def test_of_two_services_that_claim_one_address_the_first_has_it_and_reserved_ones_nobody():
    mine, theirs = Rule("a/web", backends("10.0.0.1")), Rule("b/web", backends("10.0.0.2"))
    dns = Frontend("UDP", "10.96.0.10", 53)
    parts = {"b/web": {WEB: theirs, dns: theirs}, "a/web": {WEB: mine}}
    assert merge(parts, reserved=[dns]) == {WEB: mine}


def test_changes_are_the_least_that_is_needed_with_removals_first():
    other = Frontend("TCP", "10.96.0.51", 80)
    old = {WEB: Rule("a/x"), other: Rule("a/y")}
    new = {Frontend("TCP", "10.96.0.52", 80): Rule("a/z"), other: Rule("a/y")}
    assert diff(old, new) == (Drop(WEB), Put(Frontend("TCP", "10.96.0.52", 80), Rule("a/z")))


frontends = st.builds(
    Frontend, st.sampled_from(["TCP", "UDP"]), st.sampled_from(["10.96.0.1", "10.96.0.2", "0.0.0.0"]), st.integers(1, 4)
)
tables = st.dictionaries(
    frontends,
    st.builds(
        Rule,
        st.sampled_from(["a/x", "b/y"]),
        st.lists(st.builds(Backend, st.just("10.0.0.1"), st.integers(1, 3)), max_size=3).map(tuple),
        st.integers(0, 2),
    ),
    max_size=8,
)


@given(tables, tables)
def test_applying_the_difference_gives_the_new_table(old, new):
    assert apply(old, diff(old, new)) == new
    assert diff(new, new) == ()


def test_the_views_read_what_the_api_server_sends():
    data = b"""{"metadata":{"name":"web","namespace":"default"},"spec":{"type":"NodePort","clusterIP":"10.96.0.50",
      "clusterIPs":["10.96.0.50"],"externalIPs":["192.0.2.7"],"ports":[{"port":80,"targetPort":"http","nodePort":30080}],
      "sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}},
      "internalTrafficPolicy":"Cluster","externalTrafficPolicy":"Local"},"status":{"loadBalancer":{}}}"""
    service = codec.decode_into(data, Service)
    rules = rules_of(service, [a_slice(endpoints=[an_endpoint("10.0.0.1", node="n2")])], HERE)
    assert rules == {
        WEB: Rule("default/web", backends("10.0.0.1"), 60),
        Frontend("TCP", "192.0.2.7", 80): Rule("default/web", (), 60),
        Frontend("TCP", ANY_ADDRESS, 30080): Rule("default/web", (), 60),
    }
