"""Pod ranges never overlap."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.controllers.node_ipam.decide import decide as decide_ranges
from tests.support.controllers import a_node


@given(st.lists(st.sampled_from(["", "10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23", "10.9.0.0/24"]), max_size=8))
def test_ranges_never_overlap(given_ranges):
    taken = [cidr for cidr in dict.fromkeys(given_ranges) if cidr]
    nodes = [a_node(f"n{number}", podCIDR=cidr) for number, cidr in enumerate(taken)]
    nodes += [a_node(f"m{number}") for number in range(given_ranges.count(""))]
    assigned, exhausted = decide_ranges(nodes, ["10.0.5.0/24"], cluster_cidr="10.0.0.0/21", prefix=24)
    every = [ipaddress.ip_network(cidr) for cidr in (*taken, "10.0.5.0/24", *(one.cidr for one in assigned))]
    assert all(not one.overlaps(other) for i, one in enumerate(every) for other in every[:i])
    left = exhausted.nodes if exhausted else ()
    assert len(assigned) + len(left) == given_ranges.count("")


def test_a_node_with_a_range_of_another_family_stops_no_other():
    nodes = [a_node("six", podCIDR="2001:db8::/64"), a_node("odd", podCIDR="10.0.0.7/24"), a_node("m")]
    (assigned,), exhausted = decide_ranges(nodes, ["nonsense"], cluster_cidr="10.0.0.0/21", prefix=24)
    assert (assigned.node.metadata.name, assigned.cidr) == ("m", "10.0.1.0/24")
    assert exhausted is None
