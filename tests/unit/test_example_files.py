"""The example files that users copy are well-formed, and name programs and flags that exist."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import yaml

from orchestrator.lab.demo import manifests

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "config" / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_one_of_our_programs_with_its_example_configuration(unit):
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str
    parsed.read_string(unit.read_text())
    program, flag, config = parsed["Service"]["ExecStart"].split()
    assert Path(program).name in (ROOT / "pyproject.toml").read_text()
    assert flag == "--config"
    assert (ROOT / "config" / Path(config).name).exists()
    assert parsed["Service"]["Restart"] == "always"
    assert parsed["Install"]["WantedBy"] == "multi-user.target"


def test_there_is_a_unit_for_every_daemon():
    assert {unit.stem for unit in UNITS} == {"wherry-orchestrator", "wherry-node-agent", "wherry-netproxy"}


def test_prometheus_is_told_of_every_daemon():
    scraped = yaml.safe_load((ROOT / "config" / "prometheus" / "prometheus.yml").read_text())
    assert {job["job_name"] for job in scraped["scrape_configs"]} == {
        "wherry-api-server",
        "wherry-controllers",
        "wherry-scheduler",
        "wherry-node-agents",
        "wherry-netproxy",
    }


def test_the_demos_objects_belong_together():
    objects = {(document["kind"], document["metadata"]["name"]): document for _, document in manifests()}
    assert set(objects) == {
        ("Pod", "client"),
        ("Deployment", "nginx"),
        ("Service", "nginx"),
        ("Service", "nginx-nodeport"),
        ("Service", "web"),
        ("StatefulSet", "web"),
    }
    labels = objects["Deployment", "nginx"]["spec"]["template"]["metadata"]["labels"]
    for name in ("nginx", "nginx-nodeport"):
        assert objects["Service", name]["spec"]["selector"].items() <= labels.items()
    assert objects["StatefulSet", "web"]["spec"]["serviceName"] == "web"
    assert objects["Service", "web"]["spec"]["clusterIP"] == "None"


def test_every_locked_version_is_exact():
    lines = (ROOT / "config" / "locked-versions.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line) for line in wanted)
    names = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in wanted}
    project = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0]
    required = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r'^    "([A-Za-z0-9_-]+)', project, re.M)}
    assert required <= names
