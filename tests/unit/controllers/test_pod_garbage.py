"""Which pods nobody looks after any more."""

from __future__ import annotations

from orchestrator.controllers.pod_garbage.decide import decide as decide_garbage
from tests.support.controllers import a_pod


def test_pods_of_missing_nodes_wait_out_the_quarantine():
    pods = [a_pod("a", node="n1"), a_pod("b", node="gone")]
    first = decide_garbage(pods, {"n1"}, {}, quarantine_s=40, finished_max=10, now=100.0)
    assert (first.orphaned, first.missing) == ((), {"gone"})
    later = decide_garbage(pods, {"n1"}, {"gone": 100.0}, quarantine_s=40, finished_max=10, now=140.0)
    assert [pod.metadata.name for pod in later.orphaned] == ["b"]


def test_the_oldest_finished_pods_go_and_those_that_never_had_a_node():
    pods = [
        a_pod("a", phase="Failed", creationTimestamp="2023-11-14T21:00:05Z"),
        a_pod("b", phase="Succeeded", creationTimestamp="2023-11-14T21:00:01Z"),
        a_pod("c", node="", terminating=True),
        a_pod("d"),
    ]
    decision = decide_garbage(pods, {"n1"}, {}, quarantine_s=40, finished_max=1, now=0.0)
    assert [pod.metadata.name for pod in decision.finished] == ["b"]
    assert [pod.metadata.name for pod in decision.unscheduled] == ["c"]
