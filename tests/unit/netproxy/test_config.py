"""The proxy's settings: where they come from, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from netproxy.config import Config, load
from orchestrator.machinery.settings import BadConfig, docstrings

NEEDED = ["--node-name", "n1", "--node-ip", "192.0.2.1"]
EXAMPLE = Path(__file__).parents[3] / "config" / "netproxy.yaml"


def test_flags_go_over_the_environment_over_the_file_over_the_defaults(tmp_path):
    file = tmp_path / "netproxy.yaml"
    file.write_text("node_name: from-file\nworkers: 3\nhealth_port: 1\nlog_level: debug\n")
    environment = {"WHERRY_NETPROXY_WORKERS": "4", "WHERRY_NETPROXY_HEALTH_PORT": "2"}
    config, cleanup = load(["--config", str(file), "--node-ip", "192.0.2.1", "--health-port", "5"], environment)
    assert config == Config(node_name="from-file", node_ip="192.0.2.1", workers=4, health_port=5, log_level="debug")
    assert not cleanup


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "node_name ''", id="no-name"),
        pytest.param(["--node-name", "n1"], "node_ip ''", id="no-address"),
        pytest.param([*NEEDED, "--service-cidr", "10.96.0.0"], "dns_address '10.96.0.10'", id="one-address-is-no-cidr"),
        pytest.param([*NEEDED, "--service-cidr", "x"], "service_cidr 'x'", id="no-cidr"),
        pytest.param([*NEEDED, "--dns-address", "10.97.0.10"], "within service_cidr", id="dns-outside"),
        pytest.param([*NEEDED, "--workers", "many"], "workers 'many'", id="no-number"),
        pytest.param([*NEEDED, "--workers", "-1"], "workers '-1'", id="too-few"),
        pytest.param([*NEEDED, "--metrics-port", "70000"], "metrics_port '70000'", id="no-port"),
        pytest.param([*NEEDED, "--state-dir", "state"], "state_dir 'state'", id="relative"),
        pytest.param([*NEEDED, "--log-level", "loud"], "log_level 'loud'", id="no-level"),
        pytest.param([*NEEDED, "--config", "/nonexistent"], "/nonexistent", id="no-file"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_and_value(arguments, words):
    with pytest.raises(BadConfig, match=words):
        load(arguments, {})


def test_an_unknown_setting_is_refused(tmp_path):
    file = tmp_path / "netproxy.yaml"
    file.write_text("node_nmae: n1\n")
    with pytest.raises(BadConfig, match="no setting 'node_nmae'"):
        load(["--config", str(file)], {})


def test_cleaning_up_needs_no_settings():
    assert load(["--cleanup"], {})[1]


def test_the_example_loads_and_names_every_setting():
    config, _ = load(["--config", str(EXAMPLE)], {})
    assert config == Config(node_name="node-1", node_ip="192.0.2.11")
    text = EXAMPLE.read_text()
    assert [field.name for field in fields(Config) if f"{field.name}:" not in text] == []


def test_every_setting_says_what_it_is():
    assert set(docstrings(Config)) == {field.name for field in fields(Config)}
