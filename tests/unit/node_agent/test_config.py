"""The agent's settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from node_agent.config import Config, load
from orchestrator.machinery.settings import BadConfig, docstrings

EXAMPLE = Path(__file__).resolve().parents[3] / "config" / "node-agent.yaml"
NEEDED = ["--node-name", "n1", "--node-ip", "10.0.0.1"]


def test_flags_win_over_environment_over_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("pods_max: 5\nkubelet_port: 1\nlog_level: debug\n")
    environment = {"WHERRY_NODE_AGENT_PODS_MAX": "6", "WHERRY_NODE_AGENT_KUBELET_PORT": "2"}
    config, cleanup = load([*NEEDED, "--config", str(file), "--pods-max", "7"], environment)
    assert (config.pods_max, config.kubelet_port, config.log_level, cleanup) == (7, 2, "debug", False)


def test_a_unit_may_be_left_out_of_a_flag():
    config, _ = load([*NEEDED, "--lease-interval", "2.5", "--lease-duration", "8"], {})
    assert (config.lease_interval_s, config.lease_duration_s) == (2.5, 8)


def test_cleaning_up_needs_no_node():
    assert load(["--cleanup"], {})[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "node_name '': must be set", id="no-name"),
        pytest.param(["--node-name", "n", "--node-ip", "x"], "node_ip 'x': must be an IPv4 address", id="no-address"),
        pytest.param([*NEEDED, "--pods-max", "many"], "pods_max 'many': must be a whole number", id="no-number"),
        pytest.param(
            [*NEEDED, "--memory-reserved", "lots"], "memory_reserved 'lots': must be a quantity", id="quantity"
        ),
        pytest.param([*NEEDED, "--lease-duration", "15"], "must be at least twice lease_interval_s", id="lease"),
        pytest.param([*NEEDED, "--state-dir", "here"], "state_dir 'here': must be an absolute path", id="relative"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, message):
    with pytest.raises(BadConfig, match=message):
        load(arguments, {})


def test_an_unknown_setting_in_the_file_is_refused(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("nonsense: 1\n")
    with pytest.raises(BadConfig, match="there is no setting 'nonsense'"):
        load([*NEEDED, "--config", str(file)], {})


def test_every_setting_is_explained():
    assert set(docstrings(Config)) == {field.name for field in fields(Config)}


def test_the_example_shows_every_setting_with_its_default():
    shown = [line[1:] for line in EXAMPLE.read_text().splitlines() if line.startswith("#") and line[1:2] not in " "]
    document = yaml.safe_load("\n".join(shown))
    assert document == {field.name: getattr(Config(), field.name) for field in fields(Config)}
