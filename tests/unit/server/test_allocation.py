"""ClusterIPs and node ports: never the same twice, given back when nobody holds them."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.server.allocation import ServiceAddresses


def some_addresses(cidr: str = "10.96.0.0/16", ports: tuple[int, int] = (30000, 32767)) -> ServiceAddresses:
    return ServiceAddresses(service_cidr=cidr, node_ports=ports)


CHANCE = Random(5)


def assign(
    addresses: ServiceAddresses, service: dict[str, Any], old: dict[str, Any] | None = None
) -> tuple[list[Any], list[Any]]:
    """Plan, and take what was planned, as a write does."""
    planned, problems = addresses.plan(service, old, CHANCE)
    addresses.take(planned)
    return planned, problems


def a_service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **spec}}


def stored(service: dict[str, Any]) -> bytes:
    return codec.encode(service)


def words(problems: list[Any]) -> list[str]:
    return [str(problem) for problem in problems]


def test_an_address_is_given_and_a_wanted_one_kept() -> None:
    addresses = some_addresses()
    service = a_service()
    assert assign(addresses, service)[1] == []
    address = service["spec"]["clusterIP"]
    assert service["spec"]["clusterIPs"] == [address]
    wanted = a_service(clusterIP="10.96.0.10")
    assert assign(addresses, wanted)[1] == []
    assert wanted["spec"]["clusterIPs"] == ["10.96.0.10"]
    again = assign(addresses, a_service(clusterIP="10.96.0.10"))[1]
    assert words(again) == [
        'spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: '
        "provided IP is already allocated"
    ]
    outside = words(assign(addresses, a_service(clusterIP="10.1.0.1"))[1])
    assert "is not in the valid range. The range of valid IPs is 10.96.0.0/16" in outside[0]


def test_services_without_an_address_take_none() -> None:
    addresses = some_addresses()
    assert assign(addresses, a_service(clusterIP="None")) == ([], [])
    assert assign(addresses, a_service(type="ExternalName")) == ([], [])


def test_a_service_that_failed_gives_everything_back() -> None:
    addresses = some_addresses()
    taken, _ = assign(addresses, a_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    _, problems = assign(
        addresses, a_service(type="NodePort", clusterIP="10.96.7.7", ports=[{"port": 80, "nodePort": 30080}]), None
    )
    assert words(problems) == ["spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"]
    assert assign(addresses, a_service(clusterIP="10.96.7.7"))[1] == []
    addresses.release(taken)
    assert assign(addresses, a_service(type="NodePort", ports=[{"port": 1, "nodePort": 30080}]))[1] == []


def test_one_port_over_two_protocols_gets_one_number() -> None:
    addresses = some_addresses()
    ports = [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    service = a_service(type="NodePort", ports=ports)
    assert assign(addresses, service)[1] == []
    first, second = (port["nodePort"] for port in service["spec"]["ports"])
    assert first == second


def test_what_the_stored_service_holds_it_may_keep() -> None:
    addresses = some_addresses()
    service = a_service(type="NodePort")
    taken, _ = assign(addresses, service)
    addresses.observe(None, stored(service))
    addresses.release(taken)
    changed = a_service(type="NodePort", clusterIP=service["spec"]["clusterIP"], ports=service["spec"]["ports"])
    taken, problems = assign(addresses, changed, service)
    assert problems == []
    addresses.observe(stored(service), stored(changed))
    addresses.release(taken)
    left_out = a_service()
    assign(addresses, left_out, service)
    assert left_out["spec"]["clusterIP"] == service["spec"]["clusterIP"]


def test_a_full_range_says_so() -> None:
    addresses = some_addresses("10.96.0.0/29", (30000, 30001))
    results = [assign(addresses, a_service())[1] for _ in range(8)]
    assert [words(result) for result in results if result] != []
    assert "range is full" in words(results[-1])[0]
    small = some_addresses(ports=(30000, 30001))
    ports = [{"port": number, "protocol": "TCP"} for number in (1, 2, 3)]
    _, problems = assign(small, a_service(type="NodePort", ports=ports))
    assert "range is full" in words(problems)[0]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["create", "delete"]), max_size=40))
def test_no_address_is_held_twice(operations: list[str]) -> None:
    addresses = some_addresses("10.96.0.0/27", (30000, 30010))
    held: list[dict[str, Any]] = []
    for operation in operations:
        if operation == "create":
            service = a_service(type="NodePort")
            taken, problems = assign(addresses, service)
            if problems:
                continue
            addresses.observe(None, stored(service))
            addresses.release(taken)
            held.append(service)
        elif held:
            addresses.observe(stored(held.pop(0)), None)
        in_use = [service["spec"]["clusterIP"] for service in held]
        ports = [service["spec"]["ports"][0]["nodePort"] for service in held]
        assert len(set(in_use)) == len(held)
        assert len(set(ports)) == len(held)
