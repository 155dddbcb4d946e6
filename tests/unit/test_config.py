"""Settings: flags over environment over file over defaults, and refusals that name key, value and rule."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from orchestrator.config import BadConfig, Config, load
from orchestrator.machinery.settings import docstrings


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "orchestrator.yaml"
    file.write_text("port: 1000\nlog_level: debug\nstore: memory\nserver_names: [a.example, 10.0.0.1]\n")
    environment = {"WHERRY_PORT": "2000", "WHERRY_LOG_LEVEL": "warning", "PATH": "/bin"}
    config = load(["--config", str(file), "--port", "3000"], environment, program="test")
    assert (config.port, config.log_level, config.store) == (3000, "warning", "memory")
    assert config.server_names == ("a.example", "10.0.0.1")
    assert config.service_cidr == Config().service_cidr


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "orchestrator.yaml"
    file.write_text("node_monitor_grace_s: 8\n")
    config = load([], {"WHERRY_CONFIG": str(file)}, program="test")
    assert config.node_monitor_grace_s == 8.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], ("port", "70000", "1 to 65535")),
        (["--port", "http"], ("port", "http", "whole number")),
        (["--dns-address", "10.0.0.10"], ("dns_address", "10.0.0.10", "within service_cidr")),
        (["--cluster-cidr", "10.96.0.0/20"], ("service_cidr", "must not overlap")),
        (["--service-cidr", "nonsense"], ("service_cidr", "nonsense", "IPv4 network")),
        (["--advertise-address", "example.com"], ("advertise_address", "example.com", "IP address")),
        (["--store", "floppy"], ("store", "floppy", "sqlite or memory")),
        (["--node-ports", "40000-30000"], ("node_ports", "40000-30000", "FIRST-LAST")),
        (["--log-level", "loud"], ("log_level", "loud")),
        (["--node-monitor-grace-s", "0"], ("node_monitor_grace_s", "more than 0")),
        (["--state-dir", "state"], ("state_dir", "state", "absolute")),
    ],
)
def test_a_refusal_names_key_value_and_rule(arguments: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(BadConfig) as refused:
        load(arguments, {}, program="test")
    assert all(word in str(refused.value) for word in words)


@pytest.mark.parametrize(
    ("text", "word"),
    [("colour: red\n", "colour"), ("- a\n", "not a mapping"), ("a: [\n", "cannot read")],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "orchestrator.yaml"
    file.write_text(text)
    with pytest.raises(BadConfig, match=word):
        load(["--config", str(file)], {}, program="test")


def test_help_tells_of_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"], {}, program="test")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all("--" + field.name.replace("_", "-") in shown for field in fields(Config))
    assert set(docstrings(Config)) == {field.name for field in fields(Config)}


def test_urls_are_those_that_reach_the_server() -> None:
    assert Config(advertise_address="10.0.0.1").server_url == "https://10.0.0.1:6443"
    assert Config(advertise_address="fd00::1").server_url == "https://[fd00::1]:6443"
    assert Config().local_url == "https://127.0.0.1:6443"
    assert Config(listen_address="10.0.0.1").local_url == "https://10.0.0.1:6443"
    assert Config().first_service_address == "10.96.0.1"


def test_the_example_holds_the_defaults(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "config" / "orchestrator.yaml"
    assert load(["--config", str(example)], {}, program="test") == Config()
    settled = re.sub(r"(?m)^#(?=[a-z_]+:)", "", example.read_text())
    file = tmp_path / "settled.yaml"
    file.write_text(settled)
    assert load(["--config", str(file)], {}, program="test") == Config()
    assert set(re.findall(r"(?m)^([a-z_]+):", settled)) == {field.name for field in fields(Config)}
