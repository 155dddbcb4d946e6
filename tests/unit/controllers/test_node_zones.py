"""How disrupted zones are, and how fast their nodes are emptied."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.controllers.node_lifecycle.decide_zones import Brake, Census, ZoneState, rate_of, state_of, zone_of
from tests.support.controllers import a_node


@pytest.mark.parametrize(
    ("ready", "size", "expected"),
    [
        pytest.param(3, 3, ZoneState.NORMAL, id="all-ready"),
        pytest.param(0, 1, ZoneState.FULL, id="the-only-one-is-lost"),
        pytest.param(0, 9, ZoneState.FULL, id="none-is-ready"),
        pytest.param(1, 3, ZoneState.NORMAL, id="two-lost-are-too-few-to-brake"),
        pytest.param(2, 5, ZoneState.PARTIAL, id="three-of-five"),
        pytest.param(9, 20, ZoneState.PARTIAL, id="exactly-55-percent"),
        pytest.param(10, 20, ZoneState.NORMAL, id="half"),
    ],
)
def test_the_state_of_a_zone(ready, size, expected):
    assert state_of(ready, size) is expected


@pytest.mark.parametrize(
    ("state", "size", "expected"),
    [
        pytest.param(ZoneState.NORMAL, 5, 0.1, id="normal"),
        pytest.param(ZoneState.FULL, 5, 0.1, id="a-zone-lost-as-a-whole"),
        pytest.param(ZoneState.PARTIAL, 50, 0.0, id="a-small-zone-is-not-emptied-further"),
        pytest.param(ZoneState.PARTIAL, 51, 0.01, id="a-large-one-slowly"),
    ],
)
def test_the_rate_of_a_zone(state, size, expected):
    assert rate_of(state, size) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, ""),
        ({"topology.kubernetes.io/zone": "a"}, ":a"),
        ({"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "a"}, "r:a"),
        ({"failure-domain.beta.kubernetes.io/zone": "old"}, ":old"),
    ],
)
def test_the_zone_of_a_node(labels, expected):
    node = a_node()
    assert (
        zone_of(msgspec.structs.replace(node, metadata=msgspec.structs.replace(node.metadata, labels=labels)))
        == expected
    )


def test_the_brake_lets_one_pass_then_waits_by_the_rate():
    brake = Brake()
    assert brake.wait_s("a", 0.1, 100.0) == 0.0
    brake.spend("a", 100.0)
    assert brake.wait_s("a", 0.1, 104.0) == 6.0
    assert brake.wait_s("a", 0.01, 104.0) == 96.0
    assert brake.wait_s("a", 0.1, 111.0) == 0.0
    assert brake.wait_s("b", 0.1, 104.0) == 0.0
    assert brake.wait_s("b", 0.0, 104.0) is None
    brake.keep({"b": None})
    assert brake.wait_s("a", 0.1, 104.0) == 0.0


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("observe"), st.sampled_from("abcd"), st.sampled_from(["x", "y"]), st.booleans(), st.integers(0, 9)
        ),
        st.tuples(st.just("forget"), st.sampled_from("abcd")),
        st.tuples(st.just("pass"), st.integers(1, 5)),
    )
)


@example([("observe", "a", "x", False, 1), ("observe", "a", "x", True, 0)])
@given(STEPS)
def test_the_census_always_equals_a_count_of_all_nodes(steps):
    census, nodes, now = Census(), {}, 0
    for step in steps:
        match step:
            case ("observe", name, zone, ready, lasts):
                nodes[name] = (zone, ready, now + lasts)
                census.observe(name, zone=zone, ready=ready, silent_at_s=now + lasts)
            case ("forget", name):
                nodes.pop(name, None)
                census.forget(name)
            case ("pass", seconds):
                now += seconds
        counted = {}
        for zone, ready, silent_at in nodes.values():
            size, well = counted.get(zone, (0, 0))
            counted[zone] = (size + 1, well + (ready and silent_at > now))
        assert census.states(now) == {zone: (state_of(well, size), size) for zone, (size, well) in counted.items()}
