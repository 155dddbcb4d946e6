"""The processes of a lab: command lines, order, configuration."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from orchestrator.lab.layout import lay_out, lay_out_single
from orchestrator.lab.processes import (
    Rank,
    containerd_config,
    dockerd_config,
    environment,
    inside,
    orchestrator_config,
    processes_of,
)

STATE = Path("/var/lib/wherry")
LAB = lay_out(STATE, nodes=2, subnet="10.89.0.0/24")


def specs_by_name(**settings):
    chosen = {"own_engines": True, "registry": True, "hub": False, "resolv_conf": "/etc/resolv.conf"} | settings
    return {spec.name: spec for spec in processes_of(LAB, **chosen)}


def test_every_node_has_its_own_four_processes():
    assert list(specs_by_name()) == [
        "registry",
        "orchestrator",
        *(f"node-1-{part}" for part in ("containerd", "dockerd", "node-agent", "netproxy")),
        *(f"node-2-{part}" for part in ("containerd", "dockerd", "node-agent", "netproxy")),
    ]


def test_the_machines_own_engine_needs_no_engine_and_no_registry_of_ours():
    assert list(specs_by_name(own_engines=False, registry=False)) == [
        "orchestrator",
        "node-1-node-agent",
        "node-1-netproxy",
        "node-2-node-agent",
        "node-2-netproxy",
    ]


def test_engines_enter_only_the_network_namespace():
    argv = specs_by_name()["node-1-dockerd"].argv
    assert argv[:3] == ("nsenter", "--net=/run/netns/wherry-node-1", "--")


def test_a_node_that_is_the_machine_enters_nothing():
    single = lay_out_single(STATE, name="host", address="192.0.2.2", engine_socket=None)
    assert inside(single.nodes[0], "true") == ("true",)


def test_agents_start_once_the_node_has_joined():
    spec = specs_by_name()["node-1-node-agent"]
    assert spec.needs == (
        "/var/lib/wherry/nodes/node-1/kubelet.kubeconfig",
        "/var/lib/wherry/nodes/node-1/docker.sock",
    )
    assert spec.argv[3:6] == (sys.executable, "-m", "node_agent")


def test_whoever_uses_something_is_stopped_before_it():
    ranks = {name: spec.rank for name, spec in specs_by_name(hub=True).items()}
    assert ranks["node-1-node-agent"] < ranks["orchestrator"] < ranks["node-1-dockerd"] < ranks["node-1-containerd"]
    assert ranks["hub-mirror"] is Rank.REGISTRY


def test_only_what_holds_containers_leaves_its_children_alone():
    assert {name for name, spec in specs_by_name().items() if spec.alone} == {
        f"node-{index}-{part}" for index in (1, 2) for part in ("containerd", "dockerd")
    }


def test_a_process_inherits_no_more_than_it_needs():
    inherited = {"PATH": "/bin", "HTTPS_PROXY": "http://proxy", "KUBECONFIG": "/home/x", "SECRET": "y"}
    assert environment(inherited, state_dir=STATE, name="registry") == {
        "PATH": "/bin",
        "HOME": "/root",
        "HTTPS_PROXY": "http://proxy",
        "WHERRY_LAB": "/var/lib/wherry",
        "WHERRY_LAB_PROCESS": "registry",
    }


def test_everything_of_an_engine_lies_in_its_nodes_directory():
    node = LAB.nodes[0]
    settings = dockerd_config(LAB, node, mirrors=("10.89.0.1:5089",))
    assert all(
        str(settings[key]).startswith(str(node.directory))
        for key in ("data-root", "exec-root", "pidfile", "containerd")
    )
    assert settings["registry-mirrors"] == ["http://10.89.0.1:5089"]
    assert str(node.directory) in containerd_config(node)


def test_a_second_lab_leaves_the_well_known_ports_to_the_first():
    first = yaml.safe_load(orchestrator_config(LAB))
    second = yaml.safe_load(orchestrator_config(lay_out(Path("/srv/two"), nodes=1, subnet="10.89.1.0/24")))
    assert "controllers_port" not in first
    assert (second["controllers_port"], second["listen_address"]) == (0, "10.89.1.1")
    assert json.dumps(first)
