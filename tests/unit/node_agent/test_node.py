"""The Node object, the pods' network, and what is swept away."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from node_agent.network.firewall import accepted, masquerade
from node_agent.network.routes import split, wanted_routes
from node_agent.network.tunnel import end_of, hardware_address
from node_agent.node.describe import Health, Machine, allocatable_of, capacity_of, conditions_of, images_of, labels_of
from node_agent.pods import labels
from node_agent.pods.orphans import orphans
from node_agent.runtime.base import ContainerState, Image, Phase, RuntimeInfo
from orchestrator.api.views.agent import Node
from orchestrator.api.views.meta import Condition
from tests.support.runtime import NOW

INFO = RuntimeInfo(name="docker", version="20.10", architecture="x86_64", cpus=4, memory_bytes=8 << 30)
MACHINE = Machine(disk_bytes=100 << 30, disk_free_bytes=50 << 30, memory_available_bytes=4 << 30, pids_max=100, pids=5)


def test_capacity_and_what_is_left_of_it():
    capacity = capacity_of(INFO, MACHINE, pods_max=110)
    assert (capacity["cpu"], capacity["memory"], capacity["pods"]) == ("4", f"{8 << 20}Ki", "110")
    left = allocatable_of(capacity, cpu_reserved="500m", memory_reserved="1Gi")
    assert (left["cpu"], left["memory"]) == ("3500m", f"{7 << 20}Ki")


def test_labels():
    assert labels_of("n1", INFO)["kubernetes.io/arch"] == "amd64"
    assert labels_of("n1", INFO)["kubernetes.io/hostname"] == "n1"


@pytest.mark.parametrize(
    ("health", "machine", "expected"),
    [
        pytest.param(Health(), MACHINE, {"Ready": "True"}, id="well"),
        pytest.param(Health(runtime="down"), MACHINE, {"Ready": "False"}, id="runtime"),
        pytest.param(Health(network="none"), MACHINE, {"Ready": "False"}, id="network"),
        pytest.param(
            Health(),
            dataclasses.replace(MACHINE, memory_available_bytes=1 << 20),
            {"MemoryPressure": "True"},
            id="memory",
        ),
        pytest.param(
            Health(), dataclasses.replace(MACHINE, disk_free_bytes=1 << 30), {"DiskPressure": "True"}, id="disk"
        ),
        pytest.param(Health(), dataclasses.replace(MACHINE, pids=95), {"PIDPressure": "True"}, id="pids"),
    ],
)
def test_conditions(health, machine, expected):
    shown = {one["type"]: one for one in conditions_of(health, machine, (), NOW)}
    wanted = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True", **expected}
    assert {name: one["status"] for name, one in shown.items()} == wanted
    assert shown["Ready"]["reason"] == ("KubeletReady" if wanted["Ready"] == "True" else "KubeletNotReady")


def test_a_transition_keeps_its_time_while_nothing_changes():
    old = Condition(type="Ready", status="True", last_transition_time="2020-01-01T00:00:00Z")
    ready = next(one for one in conditions_of(Health(), MACHINE, [old], NOW) if one["type"] == "Ready")
    assert ready["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_images_are_named_largest_first():
    images = [Image(id="1", tags=("small",), size_bytes=1), Image(id="2", tags=("big",), size_bytes=9), Image(id="3")]
    assert images_of(images) == [{"names": ["big"], "sizeBytes": 9}, {"names": ["small"], "sizeBytes": 1}]


def a_node(name, *, cidr, address):
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
    body = {"metadata": {"name": name}, "spec": {"podCIDR": cidr}, "status": {"addresses": addresses}}
    return msgspec.convert(body, Node)


def test_routes_lead_to_every_other_node_that_has_pods():
    nodes = [
        a_node("n1", cidr="10.244.0.0/24", address="10.0.0.1"),
        a_node("n2", cidr="10.244.1.0/24", address="10.0.0.2"),
        a_node("n3", cidr="", address="10.0.0.3"),
        a_node("n4", cidr="nonsense", address="10.0.0.4"),
    ]
    assert wanted_routes(nodes, "n1") == {"10.244.1.0/24": "10.0.0.2"}


def test_only_packets_that_leave_the_pods_are_masqueraded():
    text = masquerade("10.244.1.0/24", "10.244.0.0/16")
    assert "ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16" in text
    assert text.startswith("table ip wherry_pods\ndelete table ip wherry_pods\n")
    assert [rule[1:3] for rule in accepted("10.244.0.0/16")] == [("-s", "10.244.0.0/16"), ("-d", "10.244.0.0/16")]


def a_state(name, *, uid, kind="regular", phase=Phase.RUNNING):
    return ContainerState(id=name, name=name, labels={labels.POD_UID: uid, labels.KIND: kind}, phase=phase)


def test_orphans_are_stopped_before_their_sandboxes_and_directories_go():
    states = [
        a_state("kept", uid="alive"),
        a_state("a", uid="gone"),
        a_state("b", uid="gone", phase=Phase.EXITED),
        a_state("pause", uid="gone", kind="pause"),
    ]
    first = orphans(states, {"alive", "gone"}, {"alive"})
    assert ([one.id for one in first.stop], first.remove, first.directories) == (["a"], (), ())
    second = orphans([states[0], *states[2:]], {"alive", "gone"}, {"alive"})
    assert ([one.id for one in second.stop], second.remove, second.directories) == ([], ("b", "pause"), ())
    third = orphans(states[:1], {"alive", "gone"}, {"alive"})
    assert (third.stop, third.remove, third.directories) == ((), (), ("gone",))


@pytest.mark.parametrize(
    ("on_link", "near", "far"),
    [
        pytest.param(["10.0.0.0/24"], {"10.244.1.0/24": "10.0.0.2"}, {"10.244.2.0/24": "10.9.0.2"}, id="one-of-each"),
        pytest.param(["10.0.0.0/8"], {"10.244.1.0/24": "10.0.0.2", "10.244.2.0/24": "10.9.0.2"}, {}, id="all-near"),
        pytest.param([], {}, {"10.244.1.0/24": "10.0.0.2", "10.244.2.0/24": "10.9.0.2"}, id="all-behind-routers"),
        pytest.param(
            ["10.9.0.2"], {"10.244.2.0/24": "10.9.0.2"}, {"10.244.1.0/24": "10.0.0.2"}, id="a-single-neighbour"
        ),
    ],
)
def test_nodes_on_our_networks_are_reached_directly(on_link, near, far):
    assert split({**near, **far}, on_link=on_link) == (near, far)


def test_a_nodes_end_of_the_tunnel_follows_from_its_addresses():
    assert hardware_address("10.1.2.255") == "0a:57:0a:01:02:ff"
    assert end_of("10.244.3.0/24") == "10.244.3.0"
