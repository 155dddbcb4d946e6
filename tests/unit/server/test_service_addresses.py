"""ClusterIPs and node ports: never the same twice, written with the service, given back with it, and put right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem
from orchestrator.api.resources import IPADDRESSES, SERVICES, Resource
from orchestrator.server import address_repair
from orchestrator.server.dice import Dice, thrown
from orchestrator.server.service_addresses import NODE_PORTS, RANGES, ServiceAddresses, decode_ports
from orchestrator.server.watch_cache import WatchCache, key_of
from orchestrator.server.watches import revision_of
from orchestrator.server.writing.claims import Claim
from orchestrator.store.base import Operation, Put, collection_of
from orchestrator.store.memory import MemoryStore
from tests.support.time import ManualClock

ADDRESS = "provided IP is already allocated"


class Model:
    """A store and what a decision sees of it. `commit` refuses what a store would."""

    def __init__(self, *, cidr: str = "10.96.0.0/16", ports: tuple[int, int] = (30000, 32767), seed: int = 5) -> None:
        self.addresses = ServiceAddresses(service_cidr=cidr, node_ports=ports)
        self.stored: dict[str, bytes] = {}
        self.revision = 0
        self.chance = Random(seed)

    objects = property(lambda self: self)
    timestamp = "2026-01-31T12:00:00Z"

    @property
    def dice(self) -> Dice:
        return thrown(self.chance)

    def get(self, resource: Resource, namespace: str, name: str) -> bytes | None:
        return self.stored.get(key_of(resource, namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[bytes]:
        return [value for key, value in self.stored.items() if key.startswith(key_of(resource, namespace, ""))]

    def by_index(self, resource: Resource, index: str, value: str) -> Iterable[bytes]:
        raise AssertionError("not asked for")

    def commit(self, operations: Sequence[Operation], expectations: dict[str, int]) -> bool:
        assert len({collection_of(one.key) for one in operations}) == len(operations)
        for key, expected in expectations.items():
            there = self.stored.get(key)
            if (revision_of(there) if there is not None else 0) != expected:
                return False
        self.revision += 1
        for one in operations:
            if isinstance(one, Put):
                self.stored[one.key] = codec.stamp(one.value, self.revision)
            else:
                del self.stored[one.key]
        return True

    def write(self, service: Object, claim: Claim) -> bool:
        """The service and what it claims, in one commit."""
        key = key_of(SERVICES, "default", service["metadata"]["name"])
        there = self.stored.get(key)
        expected = {key: revision_of(there) if there is not None else 0, **claim.expectations}
        return self.commit([Put(key, codec.encode_unstamped(service)), *claim.operations], expected)

    def put(self, service: Object, old: Object | None = None) -> list[str]:
        """Write a service; returns what refuses it."""
        claim, problems = self.addresses.plan(service, old, self)
        if not problems:
            assert self.write(service, claim)
        return words(problems)

    def remove(self, service: Object) -> None:
        claim, problems = self.addresses.plan(None, service, self)
        assert problems == []
        name = service["metadata"]["name"]
        for one in claim.operations:
            assert self.commit([one], {one.key: claim.expectations[one.key]})
        del self.stored[key_of(SERVICES, "default", name)]

    def findings(self) -> address_repair.Findings:
        return address_repair.decide(self.addresses, self, now=self.timestamp, chance=self.chance)

    def repair(self) -> list[str]:
        """Carry out what the repair finds; returns why."""
        found = self.findings()
        for step in found.steps:
            assert self.commit([step.operation], {step.operation.key: step.expect})
        return [step.why for step in found.steps]

    @property
    def taken(self) -> set[str]:
        return {codec.decode(value)["metadata"]["name"] for value in self.list(IPADDRESSES)}

    @property
    def taken_ports(self) -> frozenset[int]:
        return decode_ports(self.get(RANGES, "", NODE_PORTS)).taken


def a_service(name: str = "s", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **spec},
    }


def words(problems: Iterable[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def test_an_address_is_given_and_written_down_with_its_owner() -> None:
    model, service = Model(), a_service()
    assert model.put(service) == []
    address = service["spec"]["clusterIP"]
    assert service["spec"]["clusterIPs"] == [address]
    assert model.taken == {address}
    written = codec.decode(model.list(IPADDRESSES)[0])
    assert written["spec"]["parentRef"] == {
        "group": "",
        "resource": "services",
        "namespace": "default",
        "name": "s",
    }
    assert written["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    model.remove(service)
    assert model.taken == set()


def test_a_wanted_address_is_kept_and_refused_to_the_next() -> None:
    model = Model()
    assert model.put(a_service(clusterIP="10.96.0.10")) == []
    assert model.put(a_service("t", clusterIP="10.96.0.10")) == [
        f'spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: {ADDRESS}'
    ]
    [outside] = model.put(a_service("t", clusterIP="10.1.0.1"))
    assert "is not in the valid range. The range of valid IPs is 10.96.0.0/16" in outside
    assert model.taken == {"10.96.0.10"}


@pytest.mark.parametrize("end", ["10.96.0.0", "10.96.255.255"])
def test_the_ends_of_the_range_are_no_services_address(end: str) -> None:
    model = Model()
    assert model.put(a_service(clusterIP=end)) == [
        f'spec.clusterIPs: Invalid value: ["{end}"]: failed to allocate IP {end}: the provided IP ({end}) is not in '
        "the valid range. The range of valid IPs is 10.96.0.0/16"
    ]


def test_an_address_is_one_however_it_is_written() -> None:
    model = Model(cidr="fd00::/112")
    service = a_service("a", clusterIP="FD00::00a1")
    assert model.put(service) == []
    assert model.taken == {"fd00::a1"}
    assert ADDRESS in model.put(a_service("b", clusterIP="fd00::a1"))[0]
    assert model.repair() == []
    model.remove(service)
    assert model.taken == set()


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName"}])
def test_services_without_an_address_take_none(spec: Object) -> None:
    model = Model()
    assert model.put(a_service(**spec)) == []
    assert model.taken == set()


def test_a_refused_service_takes_nothing() -> None:
    model = Model()
    model.put(a_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    before = dict(model.stored)
    refused = a_service("t", type="NodePort", clusterIP="10.96.7.7", ports=[{"port": 80, "nodePort": 30080}])
    assert model.put(refused) == ["spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"]
    assert model.stored == before
    assert model.put(a_service("t", clusterIP="10.96.7.7")) == []


def test_one_number_is_one_services_over_all_protocols() -> None:
    model = Model()
    ports = [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    service = a_service(type="NodePort", ports=ports)
    assert model.put(service) == []
    first, second = (port["nodePort"] for port in service["spec"]["ports"])
    assert first == second
    assert model.taken_ports == {first}
    other = a_service("t", type="NodePort", ports=[{"port": 1, "protocol": "UDP", "nodePort": first}])
    assert model.put(other) == [f"spec.ports[0].nodePort: Invalid value: {first}: provided port is already allocated"]


def test_what_the_stored_service_has_it_may_keep() -> None:
    model, service = Model(), a_service(type="NodePort")
    model.put(service)
    left_out = a_service(type="NodePort", ports=service["spec"]["ports"])
    assert model.put(left_out, service) == []
    assert left_out["spec"]["clusterIP"] == service["spec"]["clusterIP"]
    port = service["spec"]["ports"][0]["nodePort"]
    assert model.taken_ports == {port}
    moved = a_service(type="NodePort", ports=[{"port": 80, "nodePort": 30001 if port != 30001 else 30002}])
    assert model.put(moved, left_out) == []
    assert model.taken_ports == {moved["spec"]["ports"][0]["nodePort"]}


def test_what_a_service_has_outside_a_range_that_was_changed_it_keeps_and_the_repair_leaves_it() -> None:
    model, service = Model(ports=(30000, 30099)), a_service(type="NodePort")
    model.put(service)
    port = service["spec"]["ports"][0]["nodePort"]
    model.addresses = ServiceAddresses(service_cidr="10.96.0.0/16", node_ports=(31000, 31099))
    again = a_service(type="NodePort", ports=[dict(one) for one in service["spec"]["ports"]])
    assert model.put(again, service) == []
    assert again["spec"]["ports"][0]["nodePort"] == port
    assert model.put(a_service("u", type="NodePort")) == []
    model.repair()
    assert model.repair() == []
    why = "provided port is not in the valid range. The range of valid ports is 31000-31099"
    other = a_service("t", type="NodePort", ports=[{"port": 80, "nodePort": 30099}])
    assert model.put(other) == [f"spec.ports[0].nodePort: Invalid value: 30099: {why}"]


def test_an_address_that_is_written_down_as_anothers_stays_when_a_service_goes() -> None:
    model, service = Model(), a_service(clusterIP="10.96.0.9")
    model.put(service)
    key = key_of(IPADDRESSES, "", "10.96.0.9")
    others = codec.decode(model.stored[key])
    others["spec"]["parentRef"]["name"] = "t"
    model.commit([Put(key, codec.encode_unstamped(others))], {})
    model.remove(service)
    assert model.taken == {"10.96.0.9"}


def test_what_a_service_gives_up_is_free() -> None:
    model, service = Model(), a_service(type="NodePort")
    model.put(service)
    external = {"metadata": service["metadata"], "spec": {"type": "ExternalName", "externalName": "a.example"}}
    assert model.put(external, service) == []
    assert (model.taken, model.taken_ports) == (set(), frozenset())


def test_a_balanced_service_may_do_without_node_ports() -> None:
    model = Model()
    service = a_service(type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert model.put(service) == []
    assert model.taken_ports == frozenset()


def test_a_full_range_says_so() -> None:
    model = Model(cidr="10.96.0.0/29", ports=(30000, 30001))
    said = [model.put(a_service(f"s{number}")) for number in range(7)]
    assert said[:6] == [[]] * 6, "the network has eight addresses, of which two are no host's"
    assert said[6] == ["spec.clusterIPs: Invalid value: []: failed to allocate IP: range is full"]
    large = Model(cidr="10.96.0.0/26")
    for number in range(1, 62):
        assert large.put(a_service(f"s{number}", clusterIP=f"10.96.0.{number}")) == []
    for seed in range(16):  # with chance, and where chance does not find the last one
        large.chance = Random(seed)
        last = a_service("last")
        assert large.put(last) == []
        assert last["spec"]["clusterIP"] == "10.96.0.62"
        large.remove(last)
    roomy = Model(ports=(30000, 30001))
    ports = [{"port": number, "protocol": "TCP"} for number in (1, 2, 3)]
    assert roomy.put(a_service(type="NodePort", ports=ports)) == [
        "spec.ports[2].nodePort: Invalid value: 0: failed to allocate a nodePort: range is full"
    ]


def test_two_who_choose_the_same_at_once_meet_in_the_store() -> None:
    model = Model()
    service, other = a_service(clusterIP="10.96.0.9"), a_service("t", clusterIP="10.96.0.9")
    first, _ = model.addresses.plan(service, None, model)
    second, problems = model.addresses.plan(other, None, model)
    assert problems == [], "neither knows of the other"
    assert model.write(service, first)
    assert not model.write(other, second)
    assert ADDRESS in words(model.addresses.plan(other, None, model)[1])[0]
    nodes = [a_service(name, type="NodePort") for name in ("u", "v")]
    claims = [model.addresses.plan(one, None, model)[0] for one in nodes]
    assert [model.write(one, claim) for one, claim in zip(nodes, claims, strict=True)] == [True, False]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["create", "delete", "change"]), max_size=40), st.integers(0, 1000))
def test_no_address_is_held_twice_and_what_is_written_is_what_is_held(operations: list[str], seed: int) -> None:
    model = Model(cidr="10.96.0.0/27", ports=(30000, 30010), seed=seed)
    held: list[Object] = []
    for number, operation in enumerate(operations):
        if operation == "create":
            service = a_service(f"s{number}", type=model.chance.choice(["NodePort", "ClusterIP"]))
            if not model.put(service):
                held.append(service)
        elif held and operation == "delete":
            model.remove(held.pop(0))
        elif held:
            old = held.pop(0)
            new = a_service(old["metadata"]["name"], type=model.chance.choice(["NodePort", "ClusterIP"]))
            held.append(old if model.put(new, old) else new)
        in_use = [service["spec"]["clusterIP"] for service in held]
        ports = [port for service in held for port in {one.get("nodePort") for one in service["spec"]["ports"]} if port]
        assert len(set(in_use)) == len(held)
        assert len(set(ports)) == len(ports)
        assert (model.taken, model.taken_ports) == (set(in_use), set(ports))
        assert model.findings().steps == []


def test_a_store_that_kept_no_such_objects_is_completed() -> None:
    model, service = Model(), a_service(type="NodePort")
    model.put(service)
    whole = dict(model.stored)
    for key in [key for key in model.stored if not key.startswith(key_of(SERVICES, "", ""))]:
        del model.stored[key]
    assert len(model.repair()) == 2
    assert set(model.stored) == set(whole)
    assert model.repair() == []
    assert model.taken_ports == {service["spec"]["ports"][0]["nodePort"]}


def test_what_nobody_has_any_more_is_freed_but_not_what_somebody_reserved() -> None:
    model, service = Model(), a_service(type="NodePort")
    model.put(service)
    del model.stored[key_of(SERVICES, "default", "s")]
    reserved = {"metadata": {"name": "10.96.0.77"}, "spec": {"parentRef": {"resource": "gateways", "name": "g"}}}
    model.commit([Put(key_of(IPADDRESSES, "", "10.96.0.77"), codec.encode_unstamped(reserved))], {})
    model.repair()
    assert (model.taken, model.taken_ports) == ({"10.96.0.77"}, frozenset())
    assert ADDRESS in model.put(a_service(clusterIP="10.96.0.77"))[0]


def test_an_address_that_names_another_owner_is_put_right() -> None:
    model, service = Model(), a_service(clusterIP="10.96.0.9")
    model.put(service)
    key = key_of(IPADDRESSES, "", "10.96.0.9")
    wrong = codec.decode(model.stored[key])
    wrong["spec"]["parentRef"]["name"] = "t"
    model.commit([Put(key, codec.encode_unstamped(wrong))], {})
    assert model.repair() == ["address 10.96.0.9 names another owner"]
    assert codec.decode(model.stored[key])["spec"]["parentRef"]["name"] == "s"


def test_two_services_with_one_address_are_told_apart_by_nobody_but_their_owners() -> None:
    model = Model()
    model.put(a_service("a", clusterIP="10.96.0.9", type="NodePort", ports=[{"port": 1, "nodePort": 30001}]))
    twin = a_service("b", clusterIP="10.96.0.9", type="NodePort", ports=[{"port": 1, "nodePort": 30001}])
    model.commit([Put(key_of(SERVICES, "default", "b"), codec.encode_unstamped(twin))], {})
    found = model.findings()
    assert found.steps == []
    assert found.conflicts == [
        "service default/b: its address 10.96.0.9 is another service's as well",
        "service default/b: its node port 30001 is default/a's as well",
    ]


@pytest.mark.parametrize("spec", [b'{"clusterIP":"of old","clusterIPs":["of old"]}', b'{"ports":"none"}'])
def test_a_service_that_cannot_be_read_keeps_nobody_from_repairing_the_others(spec: bytes) -> None:
    model = Model()
    assert model.put(a_service("a")) == []
    address = model.taken.pop()
    del model.stored[key_of(IPADDRESSES, "", address)]
    odd = b'{"metadata":{"name":"odd","namespace":"default"},"spec":%b}' % spec
    model.stored[key_of(SERVICES, "default", "odd")] = codec.stamp(odd, 1)
    assert model.findings().conflicts == ["service odd: what it says of its address cannot be read"]
    assert model.repair() == [f"address {address} was not written down"]


class Slow(WatchCache):
    """The cache of a store that does not answer in time, until it does."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.asked = 0
        self.again = asyncio.Event()

    async def wait_fresh(self) -> bool:
        self.asked += 1
        if self.asked < 3:
            raise TimeoutError
        self.again.set()
        await asyncio.Event().wait()
        return False


async def test_a_store_that_does_not_answer_in_time_does_not_end_the_repair() -> None:
    cache = Slow()
    repairing = asyncio.create_task(
        address_repair.keep_repaired(MemoryStore(), cache, Model().addresses, ManualClock(), Random(1), every_s=0)
    )
    again = asyncio.create_task(cache.again.wait())
    await asyncio.wait((repairing, again), return_when=asyncio.FIRST_COMPLETED)
    assert not repairing.done()
    repairing.cancel()
    await asyncio.wait((repairing, again))
