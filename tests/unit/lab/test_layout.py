"""Addresses, names and paths of a lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.lab.layout import free_subnet, lay_out, lay_out_single, prefix_of

STATE = Path("/var/lib/wherry")


def test_nodes_are_numbered_from_one_and_addressed_from_eleven():
    lab = lay_out(STATE, nodes=3, subnet="10.89.0.0/24")
    assert [(node.name, node.address) for node in lab.nodes] == [
        ("node-1", "10.89.0.11"),
        ("node-2", "10.89.0.12"),
        ("node-3", "10.89.0.13"),
    ]
    assert lab.server == "https://10.89.0.1:6443"


def test_nothing_of_two_labs_is_called_the_same():
    one = lay_out(STATE, nodes=2, subnet="10.89.0.0/24")
    other = lay_out(Path("/tmp/other"), nodes=2, subnet="10.89.1.0/24")

    def names(lab):
        own = {lab.host_link, lab.switch_namespace, lab.host_address, str(lab.run_dir)}
        return own | {value for node in lab.nodes for value in (node.namespace, node.address, node.cgroup)}

    assert not names(one) & names(other)


@pytest.mark.parametrize("state_dir", ["/var/lib/wherry", "/tmp/another", "/srv/x"])
def test_link_names_fit_the_kernel(state_dir):
    lab = lay_out(Path(state_dir), nodes=100, subnet="10.89.0.0/24")
    assert all(len(name) <= 15 for name in (lab.host_link, *(node.name for node in lab.nodes)))
    assert lab.host_link.startswith(prefix_of(Path(state_dir)))


@pytest.mark.parametrize(
    ("state_dir", "nodes", "rule"),
    [
        pytest.param("/var/lib/wherry", 0, "between 1 and 100", id="no-nodes"),
        pytest.param("/var/lib/wherry", 101, "between 1 and 100", id="more-nodes-than-addresses-set-aside"),
        pytest.param("relative/path", 1, "absolute", id="relative-path"),
        pytest.param("/" + "x" * 70, 1, "too long", id="sockets-would-not-fit"),
    ],
)
def test_refusals_name_the_rule(state_dir, nodes, rule):
    with pytest.raises(ValueError, match=rule):
        lay_out(Path(state_dir), nodes=nodes, subnet="10.89.0.0/24")


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        pytest.param([], "10.89.0.0/24", id="nothing-taken"),
        pytest.param(["10.89.0.1/24", "192.168.1.5/24"], "10.89.1.0/24", id="first-taken"),
        pytest.param(["10.89.0.0/23"], "10.89.2.0/24", id="a-wider-network"),
        pytest.param(["fd00::2/64"], "10.89.0.0/24", id="another-family"),
    ],
)
def test_free_subnet(taken, expected):
    assert free_subnet(frozenset(taken)) == expected


def test_no_subnet_left_is_said():
    with pytest.raises(ValueError, match="cannot find a free network"):
        free_subnet(frozenset({"10.0.0.0/8"}))


def test_a_single_machine_has_no_namespace_and_may_use_its_own_engine():
    with_engine = lay_out_single(STATE, name="host", address="192.0.2.2", engine_socket=Path("/var/run/docker.sock"))
    without = lay_out_single(STATE, name="host", address="192.0.2.2", engine_socket=None)
    assert with_engine.nodes[0].namespace_path == ""
    assert with_engine.nodes[0].engine_socket == Path("/var/run/docker.sock")
    assert without.nodes[0].engine_socket == STATE / "nodes" / "host" / "docker.sock"


def test_an_unknown_node_is_refused_with_the_names_there_are():
    with pytest.raises(KeyError, match="node-1, node-2"):
        lay_out(STATE, nodes=2, subnet="10.89.0.0/24").node("node-9")
