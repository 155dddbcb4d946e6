"""What the scheduler keeps of a pod is all that it will be asked for."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from orchestrator.api.views.meta import Condition
from orchestrator.api.views.scheduling import PodStatus, PodView
from orchestrator.api.views.sharing import Sharing
from orchestrator.scheduler.slim import slim
from tests.support.scheduling import a_pod, a_term, request_of

CONDITIONS = tuple(Condition(type=kind, status="True") for kind in ("Initialized", "PodScheduled", "Ready"))


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(
            a_pod(cpu="1", owner="rs", node_selector={"a": "b"}, required=[a_term("a", "Exists")], host_port=80),
            id="pending",
        ),
        pytest.param(a_pod(cpu="1", memory="1Gi", owner="rs", node="n1", host_port=80), id="bound"),
    ],
)
def test_a_pod_asks_for_the_same_after_it_was_slimmed(pod: PodView) -> None:
    slimmed = slim(pod, Sharing())
    assert slimmed.spec.node_name == pod.spec.node_name
    before, after = request_of(pod), request_of(slimmed)
    assert (after.uid, after.labels) == (before.uid, before.labels)
    for field in ("amounts", "scored_cpu_milli", "scored_memory_bytes", "host_ports", "namespace", "owner"):
        assert getattr(after.demand, field) == getattr(before.demand, field)
    if not pod.spec.node_name:
        assert slimmed.spec == pod.spec


def test_a_pending_pod_keeps_the_condition_that_is_the_schedulers_and_a_finished_one_nothing() -> None:
    pending = slim(replace(a_pod(), status=PodStatus(phase="Pending", conditions=CONDITIONS)), Sharing())
    assert [condition.type for condition in pending.status.conditions] == ["PodScheduled"]
    done = slim(replace(a_pod(cpu="1", node="n1"), status=PodStatus(phase="Failed", conditions=CONDITIONS)), Sharing())
    assert done.is_terminal
    assert not done.status.conditions
    assert not done.spec.containers


def test_pods_of_one_template_share_their_spec() -> None:
    sharing = Sharing()
    first, second = (slim(a_pod(name, cpu="1", owner="rs"), sharing) for name in "ab")
    assert first.spec is second.spec
    bound = [slim(a_pod(name, cpu="1", owner="rs", node=node), sharing) for name, node in (("a", "n1"), ("b", "n2"))]
    assert bound[0].spec.containers is bound[1].spec.containers
    assert bound[0].status is bound[1].status
