"""Endpoints decisions: who is one, in which slice, and how few writes that takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.cluster import EndpointConditions, Endpoints, EndpointSlice
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.endpointslice import decide_endpoints
from orchestrator.controllers.endpointslice.decide import SLICE_MAX, body_of, decide, endpoint_of, ports_of, target_port
from tests.support.controllers import a_pod, a_service, a_view


@pytest.mark.parametrize(
    ("pod", "publish", "expected"),
    [
        pytest.param(a_pod("a"), False, EndpointConditions(ready=True, serving=True, terminating=False), id="ready"),
        pytest.param(
            a_pod("a", ready=False), False, EndpointConditions(ready=False, serving=False, terminating=False), id="not"
        ),
        pytest.param(
            a_pod("a", terminating=True),
            False,
            EndpointConditions(ready=False, serving=True, terminating=True),
            id="terminating-still-serves",
        ),
        pytest.param(
            a_pod("a", ready=False),
            True,
            EndpointConditions(ready=True, serving=False, terminating=False),
            id="published-anyway",
        ),
    ],
)
def test_conditions(pod, publish, expected):
    service = a_service(publishNotReadyAddresses=publish)
    assert endpoint_of(service, pod, {}).conditions == expected


def test_an_endpoint_names_its_pod_node_and_zone():
    endpoint = endpoint_of(a_service(), a_pod("a"), {"n1": "east"})
    assert (endpoint.addresses, endpoint.node_name, endpoint.zone) == (("10.244.0.2",), "n1", "east")
    assert endpoint.target_ref.name == "a"
    assert endpoint.hostname is None


def test_target_ports_by_number_by_name_and_unknown():
    pod = a_pod("a")
    port = a_service(ports=[{"port": 80, "targetPort": 9}, {"port": 80, "targetPort": "http"}, {"port": 80}])
    assert [target_port(one, pod) for one in port.spec.ports] == [9, 8080, 80]
    unknown = a_service(ports=[{"port": 80, "targetPort": "nope"}])
    assert target_port(unknown.spec.ports[0], pod) is None


def test_a_tcp_and_a_udp_port_of_one_name_are_told_apart():
    ports = [
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"name": "dns", "containerPort": 5353, "protocol": "TCP"},
    ]
    pod = a_view(Pod, {"spec": {"containers": [{"ports": ports}]}, "status": {"podIP": "10.244.0.2"}})
    service = a_service(
        ports=[
            {"name": "tcp", "port": 53, "protocol": "TCP", "targetPort": "dns"},
            {"name": "udp", "port": 53, "protocol": "UDP", "targetPort": "dns"},
            {"name": "sctp", "port": 53, "protocol": "SCTP", "targetPort": "dns"},
        ]
    )
    assert {(port.protocol, port.port) for port in ports_of(service, pod)} == {("TCP", 5353), ("UDP", 53)}


def written(service, wanted, name):
    body = body_of(service, wanted)
    body["metadata"] = {**body["metadata"], "name": name, "resourceVersion": "1"}
    return a_view(EndpointSlice, body)


def carried_out(service, slices, decision, numbers):
    gone = {one.metadata.name for one in decision.delete}
    replaced = {wanted.replaces.metadata.name: wanted for wanted in decision.update}
    kept = [
        written(service, replaced[one.metadata.name], one.metadata.name) if one.metadata.name in replaced else one
        for one in slices
        if one.metadata.name not in gone
    ]
    return kept + [written(service, wanted, f"s{next(numbers)}") for wanted in decision.create]


def addresses(slices):
    return sorted(address for one in slices for endpoint in one.endpoints for address in endpoint.addresses)


@given(
    st.lists(st.sets(st.integers(0, 400), max_size=350), min_size=1, max_size=4),
)
def test_slices_hold_exactly_the_endpoints_and_settle(rounds):
    service, slices, numbers = a_service(), [], iter(range(10_000))
    for wanted in rounds:
        pods = [a_pod(f"p{n}", ip=f"10.244.{n // 200}.{n % 200 + 2}") for n in wanted]
        slices = carried_out(service, slices, decide(service, pods, {}, slices), numbers)
        assert addresses(slices) == sorted(pod.status.pod_ip for pod in pods)
        assert all(len(one.endpoints) <= SLICE_MAX for one in slices)
        again = decide(service, pods, {}, slices)
        assert (again.create, again.update, again.delete) == ((), (), ())
        assert slices, "a service always has a slice"


def test_one_changed_pod_touches_one_slice():
    service, numbers = a_service(), iter(range(100))
    pods = [a_pod(f"p{n}", ip=f"10.244.{n // 200}.{n % 200 + 2}") for n in range(250)]
    slices = carried_out(service, [], decide(service, pods, {}, []), numbers)
    pods[7] = a_pod("p7", ip=pods[7].status.pod_ip, ready=False)
    decision = decide(service, pods, {}, slices)
    assert (len(decision.create), len(decision.update), len(decision.delete)) == (0, 1, 0)


def test_the_empty_slice_is_reused_when_pods_come():
    service, numbers = a_service(), iter(range(100))
    slices = carried_out(service, [], decide(service, [], {}, []), numbers)
    assert len(slices) == 1
    decision = decide(service, [a_pod("a")], {}, slices)
    assert (len(decision.create), len(decision.update), len(decision.delete)) == (0, 1, 0)


def test_finished_pods_and_pods_without_an_address_are_no_endpoints():
    pods = [a_pod("a", phase="Succeeded"), a_pod("b", ip="")]
    [made] = decide(a_service(), pods, {}, []).create
    assert made.endpoints == ()


def test_endpoints_are_grouped_and_leave_out_what_goes():
    service = a_service()
    pods = [
        a_pod("a", ip="10.244.0.9"),
        a_pod("b", ip="10.244.0.3"),
        a_pod("c", ip="10.244.0.4", ready=False),
        a_pod("d", ip="10.244.0.5", terminating=True),
    ]
    [subset] = decide_endpoints.subsets_of(service, pods)
    assert [address.ip for address in subset.addresses] == ["10.244.0.3", "10.244.0.9"]
    assert [address.ip for address in subset.not_ready_addresses] == ["10.244.0.4"]
    assert [(port.name, port.port) for port in subset.ports] == [("http", 8080)]


OTHERS = {
    "annotations": {"example.org/note": "mine"},
    "finalizers": ["example.org/hold"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "uid-c"}],
}


def kept_of(body):
    meta = body["metadata"]
    uids = [owner["uid"] for owner in meta["ownerReferences"]]
    return meta["annotations"], meta["finalizers"], uids


def test_an_update_of_a_slice_keeps_what_others_put_there():
    service = a_service()
    [made] = decide(service, [], {}, []).create
    body = body_of(service, made)
    body["metadata"] |= {**OTHERS, "name": "web-x", "resourceVersion": "1"}
    body["metadata"]["ownerReferences"] = [
        *OTHERS["ownerReferences"],
        *body_of(service, made)["metadata"]["ownerReferences"],
    ]
    [update] = decide(service, [a_pod("a")], {}, [a_view(EndpointSlice, body)]).update
    kept = kept_of(body_of(service, update))
    assert kept == (OTHERS["annotations"], OTHERS["finalizers"], [service.metadata.uid, "uid-c"])


def test_an_update_of_endpoints_keeps_what_others_put_there_and_says_when_there_are_too_many():
    service = a_service()
    annotations = {**OTHERS["annotations"], decide_endpoints.OVER_CAPACITY: "truncated"}
    present = a_view(Endpoints, {"metadata": {**OTHERS, "annotations": annotations, "name": "web"}})
    assert kept_of(decide_endpoints.body_of(service, (), present)) == (
        OTHERS["annotations"],
        OTHERS["finalizers"],
        ["uid-c"],
    )
    assert kept_of(decide_endpoints.body_of(service, (), present, truncated=True))[0] == annotations


@pytest.mark.parametrize(("count", "truncated"), [(1_000, False), (1_001, True)])
def test_endpoints_are_truncated_only_when_there_are_more_than_one_object_may_have(count, truncated):
    pods = [a_pod(f"p{n}", ip=f"10.244.{n // 250}.{n % 250 + 2}") for n in range(count)]
    [subset] = decide_endpoints.subsets_of(a_service(), pods)
    assert len(subset.addresses) == 1_000
    assert decide_endpoints.is_truncated(a_service(), pods) is truncated
