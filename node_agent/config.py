"""The agent's settings: one frozen value, made from flags over environment over file over defaults."""

from __future__ import annotations

import argparse
import ast
import inspect
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from orchestrator.api import quantities

ENVIRONMENT_PREFIX = "WHERRY_NODE_AGENT_"


class BadConfig(ValueError):
    """A setting that cannot be used; the text names the key, its value and the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user may set about the agent. The docstring below each field is also its `--help` text."""

    kubeconfig: str = "/etc/wherry/node.kubeconfig"
    """File that says how to reach the API server, and as which node. `wherry join` writes it."""

    node_name: str = ""
    """Name of this node's Node object. Required."""

    node_ip: str = ""
    """Address of this node within the cluster. Required."""

    node_labels: str = ""
    """Extra labels of the Node object: `key=value,key=value`."""

    docker_host: str = "unix:///var/run/docker.sock"
    """The Docker Engine that runs this node's pods."""

    state_dir: str = "/var/lib/wherry/agent"
    """Directory for pods' volumes and the serving certificate. Made if missing; must not be shared by two agents."""

    cluster_dns: str = "10.96.0.10"
    """Name servers of pods, separated by commas. Empty: pods use the node's own."""

    cluster_domain: str = "cluster.local"
    """The DNS domain of services."""

    cluster_cidr: str = "10.244.0.0/16"
    """Addresses of all pods of the cluster. Packets from pods to any other address leave as the node's own."""

    resolv_conf: str = "/etc/resolv.conf"
    """File with the node's own DNS settings, for pods whose policy asks for them, and their search domains."""

    kubelet_port: int = 10250
    """HTTPS port for the API server: logs, exec and so on."""

    health_port: int = 10248
    """Loopback port of `/healthz` and `/metrics`, plain HTTP. 0: any free one."""

    pods_max: int = 110
    """How many pods this node takes."""

    cpu_reserved: str = "0"
    """CPU that pods may not have, as a quantity: `250m`."""

    memory_reserved: str = "100Mi"
    """Memory that pods may not have, as a quantity."""

    lease_interval_s: float = 10.0
    """How often the node says that it is alive, in seconds."""

    lease_duration_s: int = 40
    """How long that holds, in seconds; at least twice the interval."""

    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """`node_labels`, parsed."""
        pairs = [pair.partition("=") for pair in self.node_labels.split(",") if pair]
        return tuple((key, value) for key, _, value in pairs)

    @property
    def dns_servers(self) -> tuple[str, ...]:
        """`cluster_dns`, parsed."""
        return tuple(server for server in self.cluster_dns.split(",") if server)


def validate(config: Config) -> None:
    """Raise `BadConfig` for the first setting that breaks a rule."""
    for key in ("kubeconfig", "node_name", "docker_host", "cluster_domain"):
        if not getattr(config, key):
            raise _bad(config, key, "must be set")
    for key, text in [("node_ip", config.node_ip), *(("cluster_dns", server) for server in config.dns_servers)]:
        try:
            ipaddress.IPv4Address(text)
        except ValueError as exc:
            raise _bad(config, key, "must be an IPv4 address") from exc
    try:
        ipaddress.IPv4Network(config.cluster_cidr)
    except ValueError as exc:
        raise _bad(config, "cluster_cidr", "must be an IPv4 network such as 10.244.0.0/16") from exc
    if not Path(config.state_dir).is_absolute():
        raise _bad(config, "state_dir", "must be an absolute path")
    for key in ("kubelet_port", "health_port"):
        if not 0 <= getattr(config, key) <= 65535:
            raise _bad(config, key, "must be a port")
    for key in ("cpu_reserved", "memory_reserved"):
        try:
            quantities.parse(getattr(config, key))
        except quantities.BadQuantity as exc:
            raise _bad(config, key, "must be a quantity") from exc
    if not 1 <= config.pods_max <= 1000:
        raise _bad(config, "pods_max", "must be 1 to 1000")
    if config.lease_interval_s <= 0:
        raise _bad(config, "lease_interval_s", "must be above 0")
    if config.lease_duration_s < 2 * config.lease_interval_s:
        raise _bad(config, "lease_duration_s", "must be at least twice lease_interval_s")
    if config.log_level not in ("debug", "info", "warning", "error"):
        raise _bad(config, "log_level", "must be debug, info, warning or error")


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Config, bool]:
    """Merge flags over environment over the file named by `--config` over the defaults, and validate.

    Also returns whether `--cleanup` was asked for; then only what cleaning needs is checked. Raises `BadConfig`.
    """
    flags = {key: value for key, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    cleanup = bool(flags.pop("cleanup", False))
    path = flags.pop("config", None) or environment.get(ENVIRONMENT_PREFIX + "CONFIG")
    merged: dict[str, Any] = dict(_from_file(Path(path))) if path else {}
    for field in fields(Config):
        value = environment.get(ENVIRONMENT_PREFIX + field.name.upper())
        if value is not None:
            merged[field.name] = value
    merged.update(flags)
    config = replace(Config(), **{key: _typed(key, value) for key, value in merged.items()})
    if not cleanup:
        validate(config)
    return config, cleanup


def docstrings() -> Mapping[str, str]:
    """The text below each field, by the field's name."""
    body = ast.parse(inspect.getsource(Config)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(following, ast.Expr)
            found[statement.target.id] = str(ast.literal_eval(following.value))
    return found


def _parser() -> argparse.ArgumentParser:
    texts = docstrings()
    parser = argparse.ArgumentParser("wherry-node-agent", allow_abbrev=False, description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of the settings below, in snake_case")
    parser.add_argument(
        "--cleanup",
        action="store_true",
        help="remove this node's pods, their network, routes and rules, and exit; a plain stop leaves them running",
    )
    for field in fields(Config):
        # A unit is part of a setting's name, not of its flag.
        names = dict.fromkeys("--" + name.replace("_", "-") for name in (field.name, field.name.removesuffix("_s")))
        parser.add_argument(*names, dest=field.name, metavar="VALUE", help=texts[field.name].replace("%", "%%"))
    return parser


def _from_file(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except (OSError, yaml.YAMLError) as exc:
        raise BadConfig(f"cannot read configuration '{path}': {exc}") from exc
    if not isinstance(document, dict):
        raise BadConfig(f"cannot read configuration '{path}': not a mapping of settings")
    known = {field.name for field in fields(Config)}
    for key in document:
        if key not in known:
            raise BadConfig(f"cannot use configuration '{path}': there is no setting '{key}'")
    return {key: value for key, value in document.items() if value is not None}


def _typed(key: str, value: Any) -> Any:
    default = getattr(Config(), key)
    kind = type(default)
    if kind is str:
        return str(value)
    try:
        return kind(value)
    except (TypeError, ValueError) as exc:
        raise BadConfig(f"cannot use {key} {value!r}: must be a number") from exc


def _bad(config: Config, key: str, rule: str) -> BadConfig:
    return BadConfig(f"cannot use {key} {getattr(config, key)!r}: {rule}")
