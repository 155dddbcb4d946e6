"""A write is a pure decision: the same objects and facts give the same answer, and each stage has its place."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.doors import MAIN, STATUS, Writes
from orchestrator.api.kinds import BUILT_IN, SERVICE_ADDRESSES, Kind
from orchestrator.api.objects import Object
from orchestrator.api.resources import IPADDRESSES
from orchestrator.api.strategies.namespaces import Finalize
from orchestrator.machinery.errors import Conflict, Forbidden, Invalid
from orchestrator.server.admission.chain import build_admission
from orchestrator.server.authentication.base import User
from orchestrator.server.dice import Dice, thrown
from orchestrator.server.service_addresses import RANGES, ServiceAddresses
from orchestrator.server.writing.decide import Commit, Decision, Refuse, Unchanged, decide, mutate
from orchestrator.server.writing.facts import Facts
from orchestrator.server.writing.options import DeleteOptions
from orchestrator.server.writing.stages import BEFORE, DECIDING
from orchestrator.store.base import Delete, Put
from tests.support.security import ADMIN, FakeObjects, a_namespace, a_service_account

NOW = 1_700_000_000.0


def kind_of(plural: str, group: str = "") -> Kind:
    kind = BUILT_IN.find(group, "v1", plural)
    assert kind is not None
    return kind


PODS, CONFIGMAPS, SERVICES, NAMESPACES = map(kind_of, ("pods", "configmaps", "services", "namespaces"))
DEPLOYMENTS = kind_of("deployments", "apps")
REQUESTS = kind_of("certificatesigningrequests", "certificates.k8s.io")


def facts(**given: Any) -> Facts:
    known: dict[str, Any] = {
        "now": NOW,
        "dice": Dice(12345),
        "user": ADMIN,
        "namespace": "default",
        "name": "",
        "options": {},
        "is_dry_run": False,
        "objects": FakeObjects(a_namespace(), a_service_account()),
        "admission": build_admission(),
        "ledgers": {SERVICE_ADDRESSES: ServiceAddresses(service_cidr="10.96.0.0/24", node_ports=(30000, 30010))},
    }
    return Facts(**{**known, **given})


def written(kind: Kind, new: Object, old: Object | None = None, *, door: Writes = MAIN, **given: Any) -> Decision:
    known, obj = facts(**given), codec.copied(new)
    mutate(kind, door, old, obj, known)
    return decide(kind, door, old, obj, known)


def committed(decision: Decision) -> Object:
    assert isinstance(decision, Commit), decision
    return codec.decode(decision.shown)


def stored(decision: Decision, revision: int = 5) -> Object:
    assert isinstance(decision, Commit), decision
    return codec.decode(codec.stamp(decision.shown, revision))


def a_pod(**spec: Any) -> Object:
    body = {"containers": [{"name": "main", "image": "nginx"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"}, "spec": body}


def a_configmap(**fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, **fields}


def a_service(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}], **spec},
    }


@given(st.integers(0, (1 << Dice.BITS) - 1))
def test_the_same_facts_give_the_same_decision(bits: int) -> None:
    assert written(PODS, a_pod(), dice=Dice(bits)) == written(PODS, a_pod(), dice=Dice(bits))


def test_a_creation_expects_that_nothing_is_there() -> None:
    decision = written(CONFIGMAPS, a_configmap(data={"a": "1"}))
    assert isinstance(decision, Commit)
    (operation,) = decision.operations
    assert operation == Put("/registry/core/configmaps/default/c", decision.shown)
    assert decision.expectations == {operation.key: 0}
    meta = committed(decision)["metadata"]
    assert meta["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert meta["namespace"] == "default"


def test_what_is_so_already_is_not_written() -> None:
    old = stored(written(DEPLOYMENTS, a_deployment()))
    assert written(DEPLOYMENTS, codec.copied(old), old) == Unchanged([])


def a_deployment(replicas: int = 1) -> Object:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


@pytest.mark.parametrize(
    ("door", "generation"),
    [pytest.param(MAIN, 2, id="a-changed-spec-counts"), pytest.param(STATUS, 1, id="a-status-does-not")],
)
def test_the_door_says_whether_a_change_is_one_of_what_is_wanted(door: Writes, generation: int) -> None:
    old = stored(written(DEPLOYMENTS, a_deployment()))
    new = {**a_deployment(replicas=3), "status": {"replicas": 2}}
    changed = committed(written(DEPLOYMENTS, new, old, door=door))
    assert changed["metadata"]["generation"] == generation
    assert changed["spec"]["replicas"] == (3 if door is MAIN else 1)
    assert (changed.get("status") or {}).get("replicas") == (None if door is MAIN else 2)


def test_broken_rules_are_a_refusal_that_names_the_object() -> None:
    decision = written(PODS, a_pod(containers=[]), name="web")
    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, Invalid)
    assert decision.error.message == 'Pod "web" is invalid: spec.containers: Required value'


def test_what_admission_adds_is_defaulted_too() -> None:
    class AddsContainer:
        def mutate(self, request: Any) -> None:
            request.obj["spec"]["containers"].append({"name": "sidecar", "image": "envoy"})

        def validate(self, request: Any) -> None:
            assert [c["imagePullPolicy"] for c in request.obj["spec"]["containers"]] == ["Always", "Always"]

    assert isinstance(written(PODS, a_pod(), admission=AddsContainer()), Commit)


def test_admission_sees_what_was_defaulted_and_refuses_what_would_be_stored() -> None:
    seen: list[Object] = []

    class Watches:
        def mutate(self, request: Any) -> None:
            seen.append(codec.copied(request.obj))

        def validate(self, request: Any) -> None:
            seen.append(codec.copied(request.obj))
            raise Forbidden("no")

    decision = written(PODS, a_pod(), admission=Watches())
    assert decision == Refuse(decision.error)  # type: ignore[union-attr]
    before, after = seen
    assert before["spec"]["restartPolicy"] == "Always"
    assert "uid" not in before["metadata"]
    assert after["status"]["phase"] == "Pending"
    assert after["metadata"]["uid"]


def test_a_request_for_a_certificate_says_who_asks_whatever_the_client_says() -> None:
    body: Object = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "r"},
        "spec": {"username": "admin", "uid": "0", "extra": {"a": ["b"]}},
    }
    obj = codec.copied(body)
    REQUESTS.strategy.sign(obj, User("jane", ("devs",), "", {"scopes": ("x",)}))
    assert obj["spec"] == {"username": "jane", "groups": ["devs"], "extra": {"scopes": ["x"]}}


def test_what_a_service_claims_is_written_in_its_own_commit_and_given_back_in_its_last() -> None:
    known = facts(dice=thrown(Random(1)))
    created = decide(SERVICES, MAIN, None, a_service(type="NodePort"), known)
    assert isinstance(created, Commit)
    assert created == decide(SERVICES, MAIN, None, a_service(type="NodePort"), known)
    service = committed(created)
    address = f"/registry/networking.k8s.io/ipaddresses/{service['spec']['clusterIP']}"
    ports = "/registry/core/rangeallocations/servicenodeports"
    assert [one.key for one in created.operations] == ["/registry/core/services/default/s", address, ports]
    assert set(created.expectations.values()) == {0}
    objects = FakeObjects(a_namespace())
    for one, resource in zip(created.operations[1:], (IPADDRESSES, RANGES), strict=True):
        assert isinstance(one, Put)
        objects.put(resource, codec.decode(codec.stamp(one.value, 7)))
    old = {**service, "metadata": {**service["metadata"], "resourceVersion": "7"}}
    gone = decide(SERVICES, MAIN, old, DeleteOptions(), facts(objects=objects))
    assert isinstance(gone, Commit)
    assert gone.operations[:2] == (Delete("/registry/core/services/default/s"), Delete(address))
    assert gone.operations[2].key == ports
    assert gone.expectations == {"/registry/core/services/default/s": 7, address: 7, ports: 7}


def test_a_trial_creation_is_refused_where_the_store_would() -> None:
    objects = FakeObjects(a_namespace(), (CONFIGMAPS.resource, {"metadata": {"name": "c", "namespace": "default"}}))
    decision = written(CONFIGMAPS, a_configmap(), is_dry_run=True, objects=objects)
    assert isinstance(decision, Refuse)
    assert decision.error.message == 'configmaps "c" already exists'


def old_configmap(**meta: Any) -> Object:
    return a_configmap(metadata={"name": "c", "namespace": "default", "uid": "u", "resourceVersion": "5", **meta})


def test_a_deletion_is_a_decision_too() -> None:
    key = "/registry/core/configmaps/default/c"
    gone = decide(CONFIGMAPS, MAIN, old_configmap(), DeleteOptions(), facts())
    assert isinstance(gone, Commit)
    assert (gone.operations, gone.expectations, gone.removes) == ((Delete(key),), {key: 5}, True)
    marked = decide(CONFIGMAPS, MAIN, old_configmap(finalizers=["a/b"]), DeleteOptions(), facts())
    assert committed(marked)["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:20Z"
    again = decide(CONFIGMAPS, MAIN, stored(marked), DeleteOptions(), facts())
    assert again == Unchanged()
    other = decide(CONFIGMAPS, MAIN, old_configmap(), DeleteOptions(uid="other"), facts())
    assert isinstance(other, Refuse)
    assert isinstance(other.error, Conflict)


def test_an_object_vanishes_with_the_last_thing_that_its_deletion_waited_for() -> None:
    old = old_configmap(finalizers=["a/b"], deletionTimestamp="2023-11-14T22:13:20Z", deletionGracePeriodSeconds=0)
    new = codec.copied(old)
    del new["metadata"]["finalizers"]
    decision = written(CONFIGMAPS, new, old)
    assert isinstance(decision, Commit)
    assert decision.removes
    assert isinstance(decision.operations[0], Delete)


def test_a_namespace_goes_by_its_own_door() -> None:
    old = stored(written(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}, name="n"))
    going = stored(decide(NAMESPACES, MAIN, old, DeleteOptions(), facts()), 6)
    assert going["status"]["phase"] == "Terminating"
    assert isinstance(decide(NAMESPACES, MAIN, going, DeleteOptions(), facts()), Refuse)
    emptied = {**codec.copied(going), "spec": {}}
    assert not isinstance(written(NAMESPACES, emptied, going), Commit)  # not by the main door
    decision = written(NAMESPACES, emptied, going, door=Finalize())
    assert isinstance(decision, Commit)
    assert decision.removes


def test_every_stage_says_what_it_reads() -> None:
    assert [stage.name for stage in (*BEFORE, *DECIDING) if stage.reads is None] == []
    assert [stage.name for stage in (*BEFORE, *DECIDING)] == [
        "identity",
        "default",
        "mutate",
        "default again",
        "prepare",
        "metadata",
        "managed fields",
        "validate",
        "claims",
        "admit",
    ]
