"""Which commands build the lab's network, and which remove it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.lab.layout import lay_out
from orchestrator.lab.network import Observed, commands_to_build, commands_to_remove, docker_user_rules, firewall

LAB = lay_out(Path("/var/lib/wherry"), nodes=2, subnet="10.89.0.0/24")
ALL = Observed(
    namespaces=frozenset({"wherry-switch", "wherry-node-1", "wherry-node-2"}), host_links=frozenset({"lo", "wherry0"})
)


def as_text(commands):
    return [" ".join(command) for command in commands]


def test_a_complete_network_needs_nothing():
    assert commands_to_build(LAB, ALL) == ()


def test_the_bridge_is_made_in_a_namespace_of_its_own():
    lines = as_text(commands_to_build(LAB, Observed()))
    assert "ip -n wherry-switch link add bridge type bridge forward_delay 0" in lines
    assert not any(line.startswith("ip link add") and "bridge" in line for line in lines)


def test_every_node_is_plugged_in_and_routes_through_the_host():
    lines = as_text(commands_to_build(LAB, Observed()))
    for name, address in (("node-1", "10.89.0.11"), ("node-2", "10.89.0.12")):
        assert f"ip -n wherry-{name} link add eth0 type veth peer name {name} netns wherry-switch" in lines
        assert f"ip -n wherry-{name} address add {address}/24 dev eth0" in lines
        assert f"ip -n wherry-{name} route replace default via 10.89.0.1" in lines


@pytest.mark.parametrize(
    ("missing", "expected_namespaces"),
    [
        pytest.param({"wherry-node-2"}, ["wherry-node-2"], id="a-node"),
        pytest.param({"wherry-switch"}, ["wherry-switch"], id="the-switch-with-every-link-that-ended-in-it"),
        pytest.param(set(ALL.namespaces), ["wherry-switch", "wherry-node-1", "wherry-node-2"], id="after-a-reboot"),
    ],
)
def test_only_missing_namespaces_are_made(missing, expected_namespaces):
    observed = Observed(namespaces=ALL.namespaces - missing, host_links=ALL.host_links)
    made = [command[-1] for command in commands_to_build(LAB, observed) if command[:3] == ("ip", "netns", "add")]
    assert made == expected_namespaces


def test_a_lost_switch_means_every_link_is_made_again():
    observed = Observed(namespaces=ALL.namespaces - {"wherry-switch"}, host_links=frozenset({"lo"}))
    made = [line for line in as_text(commands_to_build(LAB, observed)) if "type veth" in line]
    assert len(made) == 3


def test_removal_takes_what_is_there_and_nothing_of_others():
    observed = Observed(
        namespaces=frozenset({"wherry-switch", "wherry-node-7", "others"}), host_links=frozenset({"lo", "wherry0"})
    )
    assert as_text(commands_to_remove(LAB, observed)) == [
        "ip link delete wherry0",
        "ip netns delete wherry-node-7",
        "ip netns delete wherry-switch",
    ]


def test_removing_nothing_is_no_command():
    assert commands_to_remove(LAB, Observed()) == ()


def test_the_firewall_replaces_itself_in_one_transaction():
    lines = firewall(LAB).splitlines()
    assert lines[:3] == ["table ip wherry", "delete table ip wherry", "table ip wherry {"]
    assert "    ip saddr 10.89.0.0/24 ip daddr != 10.89.0.0/24 masquerade" in lines


def test_the_hosts_own_docker_is_told_to_let_the_lab_through():
    assert {rule[1] for rule in docker_user_rules(LAB)} == {"--source", "--destination"}
