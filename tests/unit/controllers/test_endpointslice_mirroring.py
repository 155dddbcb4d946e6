"""Hand-written Endpoints as slices: which, how they are cut, and when they go."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.cluster import (
    EndpointAddress,
    Endpoints,
    EndpointSlice,
    EndpointsPort,
    EndpointSubset,
    TargetRef,
)
from orchestrator.controllers.endpointslice_mirroring.decide import (
    ADDRESSES_MAX,
    Decision,
    body_of,
    decide,
    repacked,
    wanted_of,
)
from tests.support.controllers import a_service, a_view, meta

NUMBERS = itertools.count()
WITHOUT_SELECTOR = a_service(selector={})


def ip(number: int) -> str:
    return f"192.0.{number // 250}.{number % 250}"


def some_endpoints(*subsets: dict, labels: dict | None = None, annotations: dict | None = None) -> Endpoints:
    body = {"subsets": list(subsets) or [a_subset("192.0.2.1")]}
    whole = a_view(Endpoints, body)
    return Endpoints(metadata=meta("web", labels=labels or {}, annotations=annotations or {}), subsets=whole.subsets)


def a_subset(*ready: str, waiting: tuple[str, ...] = (), ports: tuple[int, ...] = (80,)) -> dict:
    return {
        "addresses": [{"ip": address} for address in ready],
        "notReadyAddresses": [{"ip": address} for address in waiting],
        "ports": [{"name": f"p{port}", "port": port} for port in ports],
    }


def carried_out(endpoints: Endpoints, slices: list[EndpointSlice], decision: Decision) -> list[EndpointSlice]:
    def written(wanted, name):
        body = body_of(endpoints, wanted)
        body["metadata"] |= {"name": name, "resourceVersion": "1"}
        return a_view(EndpointSlice, body)

    gone = {one.metadata.name for one in decision.delete}
    changed = {wanted.replaces.metadata.name: wanted for wanted in decision.update}
    kept = [
        written(changed[one.metadata.name], one.metadata.name) if one.metadata.name in changed else one
        for one in slices
        if one.metadata.name not in gone
    ]
    return kept + [written(wanted, f"s{next(NUMBERS)}") for wanted in decision.create]


def mirrored(endpoints: Endpoints) -> list[EndpointSlice]:
    return carried_out(endpoints, [], decide(endpoints, WITHOUT_SELECTOR, []))


def test_an_address_is_copied_with_its_host_name_node_and_target():
    target = TargetRef(kind="Pod", namespace="default", name="db", uid="u")
    address = EndpointAddress(ip="192.0.2.1", hostname="prim", node_name="n1", target_ref=target)
    port = EndpointsPort(name="pg", port=5432, protocol="TCP", app_protocol="postgres")
    endpoints = Endpoints(
        metadata=meta("web", labels={"app": "db"}, annotations={"team": "x"}),
        subsets=(EndpointSubset(addresses=(address,), ports=(port,)),),
    )
    [one] = mirrored(endpoints)
    assert one.metadata.labels == {
        "app": "db",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert one.metadata.annotations == {"team": "x"}
    [owner] = one.metadata.owner_references
    assert (owner.api_version, owner.kind, owner.name, owner.controller) == ("v1", "Endpoints", "web", True)
    [endpoint] = one.endpoints
    assert (endpoint.addresses, endpoint.hostname, endpoint.node_name) == (("192.0.2.1",), "prim", "n1")
    assert endpoint.target_ref == target
    assert endpoint.conditions.ready is True
    [copied] = one.ports
    assert (copied.name, copied.port, copied.protocol, copied.app_protocol) == ("pg", 5432, "TCP", "postgres")


@pytest.mark.parametrize(
    ("endpoints", "service"),
    [
        pytest.param(None, WITHOUT_SELECTOR, id="no-endpoints"),
        pytest.param(some_endpoints(), None, id="no-service"),
        pytest.param(some_endpoints(), a_service(), id="the-service-has-a-selector"),
        pytest.param(
            some_endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), WITHOUT_SELECTOR, id="skipped"
        ),
        pytest.param(
            some_endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}),
            WITHOUT_SELECTOR,
            id="a-leader-election",
        ),
        pytest.param(some_endpoints({}), WITHOUT_SELECTOR, id="empty"),
    ],
)
def test_what_is_not_mirrored_has_no_slices_and_loses_those_it_had(endpoints, service):
    before = mirrored(some_endpoints())
    assert len(before) == 1
    assert decide(endpoints, service, before) == Decision(delete=tuple(before))


def test_the_skip_label_must_say_true():
    endpoints = some_endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "false"})
    assert len(mirrored(endpoints)) == 1


def test_annotations_of_the_endpoints_alone_are_not_copied():
    own = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "endpoints.kubernetes.io/last-change-trigger-time": "t",
    }
    [one] = mirrored(some_endpoints(annotations={**own, "kept": "yes"}))
    assert one.metadata.annotations == {"kept": "yes"}


def test_a_change_is_written_into_the_slice_that_is_there():
    before = mirrored(some_endpoints())
    decision = decide(some_endpoints(a_subset("192.0.2.1", "192.0.2.2")), WITHOUT_SELECTOR, before)
    [wanted] = decision.update
    assert wanted.replaces is before[0]
    assert not decision.create
    assert not decision.delete


@pytest.mark.parametrize("change", [{"annotations": {"team": "y"}}, {"labels": {"app": "other"}}])
def test_what_only_describes_the_endpoints_is_followed_too(change):
    before = mirrored(some_endpoints(annotations={"team": "x"}, labels={"app": "db"}))
    decision = decide(
        some_endpoints(**{"annotations": {"team": "x"}, "labels": {"app": "db"}, **change}), WITHOUT_SELECTOR, before
    )
    assert [wanted.replaces for wanted in decision.update] == before


def test_two_that_share_an_address_are_told_apart_by_what_they_point_at():
    pods = [TargetRef(kind="Pod", namespace="default", name=name, uid=f"uid-{name}") for name in ("a", "b")]
    addresses = tuple(EndpointAddress(ip="192.0.2.1", target_ref=pod) for pod in pods)
    [one] = mirrored(
        Endpoints(metadata=meta("web"), subsets=(EndpointSubset(addresses=addresses, ports=(EndpointsPort(port=80),)),))
    )
    assert [endpoint.target_ref for endpoint in one.endpoints] == pods


def test_a_slice_too_many_goes():
    first = mirrored(some_endpoints())
    twice = first + carried_out(some_endpoints(), [], decide(some_endpoints(), WITHOUT_SELECTOR, []))
    decision = decide(some_endpoints(), WITHOUT_SELECTOR, twice)
    assert len(decision.delete) == 1
    assert not decision.create
    assert not decision.update


def test_families_of_addresses_have_slices_of_their_own():
    slices = mirrored(some_endpoints(a_subset("192.0.2.1", "2001:db8::1")))
    assert {one.address_type: one.endpoints[0].addresses[0] for one in slices} == {
        "IPv4": "192.0.2.1",
        "IPv6": "2001:db8::1",
    }


def test_a_thousand_addresses_of_a_subset_are_mirrored_and_what_is_no_address_is_not():
    decision = decide(
        some_endpoints(a_subset("nonsense", *(ip(number) for number in range(ADDRESSES_MAX + 5)))), WITHOUT_SELECTOR, []
    )
    [one] = decision.create
    assert len(one.endpoints) == ADDRESSES_MAX
    assert decision.invalid + decision.too_many == 6


def test_ports_with_the_same_addresses_share_a_slice_and_not_ready_trumps_ready():
    endpoints = some_endpoints(
        a_subset("192.0.2.1", "192.0.2.2", ports=(80,)),
        a_subset("192.0.2.1", "192.0.2.2", ports=(443,)),
        a_subset(waiting=("192.0.2.2",), ports=(80, 443)),
        a_subset("192.0.2.3", ports=(9,)),
    )
    slices = {tuple(port.port for port in one.ports): one for one in mirrored(endpoints)}
    assert set(slices) == {(443, 80), (9,)}
    ready = {endpoint.addresses[0]: endpoint.conditions.ready for endpoint in slices[443, 80].endpoints}
    assert ready == {"192.0.2.1": True, "192.0.2.2": False}


def test_endpoints_without_ports_are_mirrored():
    [one] = mirrored(some_endpoints(a_subset("192.0.2.1", ports=())))
    assert one.ports == ()
    assert len(one.endpoints) == 1


ADDRESSES = st.lists(st.integers(0, 5).map(ip), max_size=4, unique=True)
SUBSETS = st.lists(
    st.builds(
        lambda ready, waiting, ports: a_subset(*ready, waiting=tuple(waiting), ports=tuple(ports)),
        ADDRESSES,
        ADDRESSES,
        st.lists(st.sampled_from([80, 443, 9]), min_size=1, max_size=3, unique=True),
    ),
    max_size=4,
)


def truth(subsets):
    """Address by port, and whether it is ready there, as the Endpoints say it in whatever cut."""
    said: dict = {}
    for subset in subsets:
        for port in subset.ports:
            for ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
                for address in addresses:
                    place = (address.ip, port)
                    said[place] = said.get(place, True) and ready
    return said


@given(SUBSETS)
def test_repacking_says_the_same_and_each_port_once(subsets):
    given_ = some_endpoints(*subsets).subsets if subsets else ()
    packed = repacked(given_)
    assert truth(packed) == truth(given_)
    ports = [port for subset in packed for port in subset.ports]
    assert len(ports) == len(set(ports))


@given(st.lists(SUBSETS, min_size=1, max_size=3))
def test_slices_say_what_the_endpoints_say_and_settle(rounds):
    slices: list[EndpointSlice] = []
    for subsets in rounds:
        endpoints = some_endpoints(*(subsets or [{}]))
        slices = carried_out(endpoints, slices, decide(endpoints, WITHOUT_SELECTOR, slices))
        wanted, _, _ = wanted_of(endpoints)
        assert {(one.address_type, one.ports): one.endpoints for one in slices} == wanted
        assert decide(endpoints, WITHOUT_SELECTOR, slices) == Decision()
