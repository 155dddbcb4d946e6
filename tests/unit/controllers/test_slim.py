"""What controllers keep of a pod is all they ask it for, and shared."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from orchestrator import controllers
from orchestrator.api.views.meta import Condition
from orchestrator.api.views.sharing import Sharing
from orchestrator.api.views.workloads import Pod, PodSpec, Toleration
from orchestrator.controllers import pod_facts
from orchestrator.controllers.endpointslice.decide import endpoint_of, ports_of
from orchestrator.controllers.node_lifecycle.decide import lost, regained
from orchestrator.controllers.node_lifecycle.decide_eviction import bound_at
from orchestrator.controllers.slim import ANNOTATIONS, CONDITIONS, slim
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
