"""What a pod asks for, summed up as Kubernetes does."""

from __future__ import annotations

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.scheduling import Container, PodSpec, PodView, ResourceRequirements
from orchestrator.scheduler.request import request_of
from tests.support.scheduling import a_pod


def asks(cpu: str, restart_policy: str = "") -> Container:
    return Container(resources=ResourceRequirements(requests={"cpu": cpu}), restart_policy=restart_policy)


def test_containers_add_up_and_init_containers_overlap() -> None:
    spec = PodSpec(containers=(asks("1"), asks("500m")), init_containers=(asks("2"), asks("250m")))
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).amounts == {"cpu": 2000, "pods": 1}


def test_a_sidecar_runs_beside_the_containers_and_the_later_init_containers() -> None:
    spec = PodSpec(containers=(asks("1"),), init_containers=(asks("500m", "Always"), asks("2")))
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).amounts["cpu"] == 2500


def test_overhead_comes_on_top() -> None:
    spec = PodSpec(containers=(asks("1"),), overhead={"cpu": "100m"})
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).amounts["cpu"] == 1100


def test_scoring_counts_something_even_for_a_pod_that_asks_for_nothing() -> None:
    request = request_of(a_pod())
    assert request.amounts == {"pods": 1}
    assert (request.scored_cpu_milli, request.scored_memory_bytes) == (100, 200 * 1024 * 1024)


def test_absurd_amounts_fit_nowhere_and_overflow_nothing() -> None:
    assert request_of(a_pod(cpu="9E", memory="9E")).amounts["cpu"] == 2**53
