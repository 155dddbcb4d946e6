"""What controllers keep of a pod is all they ask it for, and shared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator import controllers
from orchestrator.api import codec
from orchestrator.api.views.cluster import (
    Endpoint,
    EndpointAddress,
    EndpointConditions,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    TargetRef,
)
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.sharing import Sharing
from orchestrator.api.views.workloads import Pod, PodSpec, Toleration
from orchestrator.controllers import pod_facts
from orchestrator.controllers.endpointslice.decide import endpoint_of, ports_of
from orchestrator.controllers.node_lifecycle.decide import lost, regained
from orchestrator.controllers.node_lifecycle.decide_eviction import bound_at
from orchestrator.controllers.slim import ANNOTATIONS, CONDITIONS, slim, slim_endpoints, slim_slice
from tests.support.controllers import NOW, a_pod, a_service

WHOLE = a_pod(
    "a",
    annotations={"controller.kubernetes.io/pod-deletion-cost": "7", "other": "long text"},
    finalizers=["example.com/hold"],
)
CONDITIONS_OF_A_POD = tuple(
    Condition(type=kind, status="True", last_transition_time="2026-11-28T12:00:00Z")
    for kind in ("PodReadyToStartContainers", "Initialized", *CONDITIONS)
)


def with_all_conditions(pod: Pod) -> Pod:
    return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, conditions=CONDITIONS_OF_A_POD))


def test_decisions_are_the_same_on_what_is_kept() -> None:
    whole = with_all_conditions(WHOLE)
    kept, service = slim(whole, Sharing()), a_service()
    assert endpoint_of(service, kept, {}) == endpoint_of(service, whole, {})
    assert ports_of(service, kept) == ports_of(service, whole)
    assert (bound_at(kept), lost(kept, NOW), regained(kept, NOW)) == (
        bound_at(whole),
        lost(whole, NOW),
        regained(whole, NOW),
    )
    assert kept.metadata == msgspec.structs.replace(
        whole.metadata, annotations={pod_facts.DELETION_COST: "7"}, generate_name=""
    )
    assert kept.spec == whole.spec
    assert {condition.type for condition in kept.status.conditions} == set(CONDITIONS)


def test_siblings_share_all_but_what_is_their_own() -> None:
    sharing = Sharing()
    tolerations = (Toleration(key="k", operator="Exists"),)

    def sibling(name: str) -> Pod:
        pod = with_all_conditions(a_pod(name))
        spec = PodSpec(**{**msgspec.structs.asdict(pod.spec), "tolerations": tuple(tolerations)})
        return slim(msgspec.structs.replace(pod, spec=spec), sharing)

    first, second = sibling("a"), sibling("b")
    assert first.metadata.name != second.metadata.name
    assert first.metadata.labels is second.metadata.labels
    assert first.metadata.owner_references is second.metadata.owner_references
    assert first.spec.containers is second.spec.containers
    assert first.spec.tolerations is second.spec.tolerations
    assert first.status.conditions is second.status.conditions


def test_every_condition_that_a_controller_asks_a_pod_for_is_kept() -> None:
    folder = Path(controllers.__file__).parent
    asked = {
        kind for module in folder.rglob("*.py") for kind in re.findall(r'pod\.condition\("(\w+)"\)', module.read_text())
    }
    assert asked
    assert asked <= set(CONDITIONS)
    assert set(ANNOTATIONS) == {pod_facts.DELETION_COST}


def again(view: Any) -> Any:
    """The same, decoded anew."""
    return codec.decode_into(codec.encode(view), type(view))


def test_a_pod_that_changes_shares_with_itself_before() -> None:
    sharing = Sharing()
    before = slim(again(WHOLE), sharing)
    after = slim(again(WHOLE), sharing, before)
    assert after == before
    assert after.metadata.name is before.metadata.name
    assert after.metadata.uid is before.metadata.uid
    assert after.status.pod_ip is before.status.pod_ip


def test_a_namesake_shares_no_identity() -> None:
    before = slim(again(WHOLE), Sharing())
    other = msgspec.structs.replace(WHOLE, metadata=msgspec.structs.replace(WHOLE.metadata, uid="other"))
    assert slim(other, Sharing(), before).metadata.uid == "other"


@pytest.mark.parametrize("pods", [{}, {"default/a": slim(again(WHOLE), Sharing())}], ids=["unknown", "known"])
def test_endpoints_say_the_same_and_share_with_their_pod(pods: dict[str, Pod]) -> None:
    target = TargetRef(kind="Pod", namespace="default", name="a", uid="uid-a")
    conditions = EndpointConditions(ready=True, serving=True, terminating=False)
    ip = WHOLE.status.pod_ip
    endpoint = Endpoint(
        addresses=(ip,), conditions=conditions, target_ref=target, node_name="n1", zone="z", hostname="h"
    )
    strange = Endpoint(addresses=("192.0.2.1", "192.0.2.2"), target_ref=TargetRef(kind="Node", name="a"))
    namesake = Endpoint(addresses=("192.0.2.3",), target_ref=msgspec.structs.replace(target, uid="gone"))
    whole = EndpointSlice(endpoints=(endpoint, strange, namesake), ports=())
    kept = slim_slice(again(whole), Sharing(), pods.get)
    assert kept == whole
    address = EndpointAddress(ip=ip, hostname="h", node_name="n1", target_ref=target)
    other = EndpointAddress(ip="192.0.2.1")
    endpoints = Endpoints(subsets=(EndpointSubset(addresses=(address,), not_ready_addresses=(other,)),))
    older = slim_endpoints(again(endpoints), Sharing(), pods.get)
    assert older == endpoints
    for pod in pods.values():
        first, [subset] = kept.endpoints[0], older.subsets
        for reference in (first.target_ref, subset.addresses[0].target_ref):
            assert reference is not None
            assert reference.uid is pod.metadata.uid
            assert reference.name is pod.metadata.name
        assert first.addresses[0] is pod.status.pod_ip
        assert subset.addresses[0].ip is pod.status.pod_ip
