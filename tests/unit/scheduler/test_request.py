"""What a pod asks for, summed up as Kubernetes does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.scheduling import Container, PodSpec, PodView, ResourceRequirements
from orchestrator.scheduler.request import AMOUNT_MAX, Demands, offered, requested
from tests.support.scheduling import a_pod, request_of


def asks(cpu: str, restart_policy: str = "") -> Container:
    return Container(resources=ResourceRequirements(requests={"cpu": cpu}), restart_policy=restart_policy)


def test_containers_add_up_and_init_containers_overlap() -> None:
    spec = PodSpec(containers=(asks("1"), asks("500m")), init_containers=(asks("2"), asks("250m")))
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).demand.amounts == {"cpu": 2000, "pods": 1}


def test_a_sidecar_runs_beside_the_containers_and_the_later_init_containers() -> None:
    spec = PodSpec(containers=(asks("1"),), init_containers=(asks("500m", "Always"), asks("2")))
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).demand.amounts["cpu"] == 2500


def test_overhead_comes_on_top() -> None:
    spec = PodSpec(containers=(asks("1"),), overhead={"cpu": "100m"})
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).demand.amounts["cpu"] == 1100


def test_scoring_counts_something_even_for_a_pod_that_asks_for_nothing() -> None:
    request = request_of(a_pod()).demand
    assert request.amounts == {"pods": 1}
    assert (request.scored_cpu_milli, request.scored_memory_bytes) == (100, 200 * 1024 * 1024)


def test_absurd_amounts_fit_nowhere_and_overflow_nothing() -> None:
    assert request_of(a_pod(cpu="9E", memory="9E")).demand.amounts["cpu"] == AMOUNT_MAX


@pytest.mark.parametrize("count", [1, 600, 1_100])
def test_a_pod_with_a_thousand_containers_of_16Ei_asks_for_more_than_any_node_has(count: int) -> None:
    greedy = Container(resources=ResourceRequirements(requests={"cpu": "16Ei", "memory": "16Ei"}))
    spec = PodSpec(containers=(greedy,) * count, init_containers=(greedy,) * count, overhead={"memory": "16Ei"})
    request = request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).demand
    assert request.amounts == {"cpu": AMOUNT_MAX, "memory": AMOUNT_MAX, "pods": 1}
    assert request.scored_memory_bytes == AMOUNT_MAX
    assert offered("memory", "16Ei") < AMOUNT_MAX


@given(
    st.lists(st.integers(-(2**70), 2**70), max_size=5),
    st.lists(st.tuples(st.integers(0, 2**70), st.booleans()), max_size=5),
)
def test_sums_are_exact_until_they_are_cut(containers: list[int], inits: list[tuple[int, bool]]) -> None:
    spec = PodSpec(
        containers=tuple(asks(str(cores)) for cores in containers),
        init_containers=tuple(asks(str(cores), "Always" if sidecar else "") for cores, sidecar in inits),
    )
    cut = [requested("cpu", str(cores)) for cores in containers]
    running = peak = 0
    for cores, sidecar in inits:
        asked = requested("cpu", str(cores))
        peak = max(peak, running + asked)
        running += asked if sidecar else 0
    expected = min(max(sum(cut) + running, peak), AMOUNT_MAX)
    assert request_of(PodView(metadata=ObjectMeta(uid="u"), spec=spec)).demand.amounts.get("cpu", 0) == expected


def test_pods_that_ask_for_the_same_share_their_demand() -> None:
    demands = Demands()
    first = request_of(a_pod("a", cpu="1", owner="rs", node_selector={"disk": "ssd"}), demands)
    second = request_of(a_pod("b", cpu="1000m", owner="rs", node_selector={"disk": "ssd"}), demands)
    other = request_of(a_pod("c", cpu="1", owner="db", node_selector={"disk": "ssd"}), demands)
    assert first.demand is second.demand
    assert other.demand is not first.demand
    assert other.demand.constraints is first.demand.constraints


def test_a_demand_that_nobody_has_is_forgotten() -> None:
    demands = Demands()
    for number in range(100):
        demands.request_of(a_pod("a", cpu=f"{number + 1}m"))
    assert len(demands._demands) <= 1
