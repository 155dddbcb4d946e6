"""What is known of the cluster, kept and followed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netproxy import state
from netproxy.cluster import Cluster
from netproxy.dns import wire
from netproxy.dns.records import Zone
from netproxy.rules import Backend, Frontend, Rule
from netproxy.state import ClusterState
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.network import ZONE_LABEL, NodeView
from tests.support.network import a_port, a_service, a_slice, an_endpoint

WEB = Frontend("TCP", "10.96.0.50", 80)


def a_cluster(**options) -> tuple[Cluster, Zone]:
    zone = Zone("cluster.local", "10.96.0.10")
    return Cluster(zone, "n1", **options), zone


def settled(cluster: Cluster) -> dict[Frontend, Rule]:
    while cluster.unsettled:
        cluster.work_out(1)
    return cluster.rules()


def backends(cluster: Cluster) -> list[str] | None:
    rule = settled(cluster).get(WEB)
    return None if rule is None else [backend.address for backend in rule.backends]


def test_services_and_slices_may_come_in_any_order_and_go_again():
    cluster, zone = a_cluster()
    piece = a_slice(endpoints=[an_endpoint("10.0.0.1")])
    cluster.slice_changed(None, piece)
    assert backends(cluster) is None
    cluster.service_changed(None, a_service())
    assert backends(cluster) == ["10.0.0.1"]
    changed = a_slice(endpoints=[an_endpoint("10.0.0.2")])
    cluster.slice_changed(piece, changed)
    assert backends(cluster) == ["10.0.0.2"]
    cluster.slice_changed(changed, None)
    assert backends(cluster) == []
    cluster.service_changed(a_service(), None)
    assert backends(cluster) is None
    gone = zone.lookup("web.default.svc.cluster.local", wire.A)
    assert gone is not None
    assert gone.rcode == wire.NXDOMAIN


def test_a_service_that_cannot_be_worked_out_keeps_what_it_had_and_stops_no_other():
    cluster, _ = a_cluster()
    cluster.service_changed(None, a_service())
    cluster.slice_changed(None, a_slice(endpoints=[an_endpoint("10.0.0.1")]))
    assert backends(cluster) == ["10.0.0.1"]
    nonsense: Any = [7]
    cluster.service_changed(a_service(), a_service(ports=nonsense))
    cluster.service_changed(None, a_service("other", ip="10.96.0.51"))
    assert backends(cluster) == ["10.0.0.1"]
    assert Frontend("TCP", "10.96.0.51", 80) in cluster.rules()


def test_a_slice_may_change_hands():
    cluster, _ = a_cluster()
    cluster.service_changed(None, a_service())
    mine, theirs = a_slice("web", [an_endpoint("10.0.0.1")]), a_slice("other", [an_endpoint("10.0.0.1")])
    cluster.slice_changed(None, mine)
    assert backends(cluster) == ["10.0.0.1"]
    cluster.slice_changed(mine, theirs)
    assert backends(cluster) == []


def test_a_node_that_moves_to_another_zone_follows_other_hints():
    cluster, _ = a_cluster()
    cluster.service_changed(None, a_service())
    hinted = [an_endpoint("10.0.0.1", zones=["east"]), an_endpoint("10.0.0.2", zones=["west"])]
    cluster.slice_changed(None, a_slice(endpoints=hinted))
    assert backends(cluster) == ["10.0.0.1", "10.0.0.2"]
    cluster.node_changed(NodeView(metadata=ObjectMeta(name="n1", labels={ZONE_LABEL: "west"})))
    assert backends(cluster) == ["10.0.0.2"]


def test_loading_replaces_everything():
    cluster, _ = a_cluster()
    cluster.service_changed(None, a_service("old", ip="10.96.0.51"))
    settled(cluster)
    cluster.load(ClusterState(services=(a_service(),), slices=(a_slice(endpoints=[an_endpoint("10.0.0.1")]),)))
    assert {frontend: rule.backends for frontend, rule in settled(cluster).items()} == {
        WEB: (Backend("10.0.0.1", 8080),)
    }


def test_loading_what_is_known_already_changes_nothing():
    cluster, _ = a_cluster()
    known = ClusterState(services=(a_service(),), slices=(a_slice(endpoints=[an_endpoint("10.0.0.1")]),))
    cluster.load(known)
    settled(cluster)
    cluster.load(known)
    assert not cluster.unsettled


def test_a_service_on_the_dns_address_does_not_take_it_from_dns():
    dns = Frontend("UDP", "10.96.0.10", 53)
    cluster, _ = a_cluster(reserved=[dns])
    ports = [a_port(53, "dns", protocol="UDP"), a_port(9153, "metrics")]
    cluster.service_changed(None, a_service("kube-dns", namespace="kube-system", ip="10.96.0.10", ports=ports))
    assert list(settled(cluster)) == [Frontend("TCP", "10.96.0.10", 9153)]


def test_what_is_saved_is_what_is_loaded(tmp_path):
    cluster, _ = a_cluster()
    cluster.service_changed(None, a_service(affinity_s=30, ports=[a_port(80, "http")]))
    cluster.slice_changed(None, a_slice(endpoints=[an_endpoint("10.0.0.1", zones=["east"], hostname="x", node="n1")]))
    cluster.node_changed(NodeView(metadata=ObjectMeta(name="n1", labels={ZONE_LABEL: "west"})))
    state.save(tmp_path / "new", cluster.state())
    assert state.load(tmp_path / "new") == cluster.state()


def test_a_state_that_cannot_be_read_is_no_state(tmp_path):
    assert state.load(tmp_path) is None
    (tmp_path / state.FILE_NAME).write_bytes(b"\x93torn")
    assert state.load(tmp_path) is None
    state.save(tmp_path, ClusterState(services=(a_service("flipped"),)))
    whole = (tmp_path / state.FILE_NAME).read_bytes()
    (tmp_path / state.FILE_NAME).write_bytes(whole.replace(b"flipped", b"fl\xe9pped"))
    assert state.load(tmp_path) is None
    state.save(tmp_path, ClusterState(version=state.VERSION + 1))
    assert state.load(tmp_path) is None


odd = st.text(max_size=80) | st.sampled_from(["10.0.0.1", "a" * 64, "x." * 40, "None", "fd00::1", "-", "\\", "é"])


@given(odd, odd, odd, st.integers(-1, 70_000), st.sampled_from(["ClusterIP", "ExternalName", "NodePort"]), odd)
def test_no_odd_object_makes_the_proxy_stumble(name, address, hostname, port, kind, external):
    """Such objects never pass validation; if one did, it must not take every node's traffic down."""
    cluster, zone = a_cluster()
    service = a_service(name, ip=address, type=kind, external_name=external, ports=[a_port(port, hostname)])
    cluster.service_changed(None, service)
    cluster.slice_changed(None, a_slice(name, [an_endpoint(address, hostname=hostname)], port=port, port_name=hostname))
    for rule in settled(cluster).values():
        assert all(0 < backend.port < 65_536 and backend.address.count(".") == 3 for backend in rule.backends)
    for owner in zone.names():
        for record_type in (wire.A, wire.SRV, wire.PTR):
            try:
                answer = zone.lookup(owner, record_type)
            except wire.BadMessage:
                continue
            assert answer is not None or owner.endswith(".in-addr.arpa")
