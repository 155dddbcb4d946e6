"""The proxy's settings: one frozen value, made from flags over environment over file over defaults."""

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

ENVIRONMENT_PREFIX = "WHERRY_NETPROXY_"
WORKERS_MAX = 64


class BadConfig(ValueError):
    """A setting that cannot be used; the text names the key, its value and the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user may set about the proxy. The docstring below each field is also its `--help` text."""

    kubeconfig: str = "/etc/wherry/netproxy.kubeconfig"
    """File that says how to reach the API server, and as whom."""

    node_name: str = ""
    """Name of this node's Node object: traffic policies and topology hints are about it. Required."""

    node_ip: str = ""
    """Address of this node, for events and logs. Required."""

    service_cidr: str = "10.96.0.0/16"
    """Addresses of services. All of them become local to this node while the proxy runs."""

    dns_address: str = "10.96.0.10"
    """Service address at which cluster DNS answers on this node; must lie within `service_cidr`."""

    cluster_domain: str = "cluster.local"
    """The DNS domain of services."""

    resolv_conf: str = "/etc/resolv.conf"
    """File with the name servers that are asked for names outside the cluster; followed when it changes."""

    state_dir: str = "/var/lib/wherry/netproxy"
    """Directory for what was last known, so that a restart needs no API server. Made if missing."""

    workers: int = 0
    """Data-path processes. 0: one per processor, two at most, which carries more than most networks."""

    health_port: int = 10256
    """Loopback port of `/healthz`, plain HTTP. 0: any free one."""

    metrics_port: int = 0
    """Loopback port of `/metrics`, plain HTTP; kube-proxy's is 10249. 0: none."""

    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    @property
    def service_network(self) -> ipaddress.IPv4Network:
        """`service_cidr`, parsed."""
        return ipaddress.IPv4Network(self.service_cidr)


def validate(config: Config) -> None:
    """Raise `BadConfig` for the first setting that breaks a rule."""
    for key in ("kubeconfig", "node_name", "cluster_domain"):
        if not getattr(config, key):
            raise _bad(config, key, "must be set")
    for key in ("node_ip", "dns_address"):
        try:
            ipaddress.IPv4Address(getattr(config, key))
        except ValueError as exc:
            raise _bad(config, key, "must be an IPv4 address") from exc
    try:
        network = config.service_network
    except ValueError as exc:
        raise _bad(config, "service_cidr", "must be an IPv4 network such as 10.96.0.0/16") from exc
    if ipaddress.IPv4Address(config.dns_address) not in network:
        raise _bad(config, "dns_address", f"must lie within service_cidr {config.service_cidr}")
    if not Path(config.state_dir).is_absolute():
        raise _bad(config, "state_dir", "must be an absolute path")
    if not 0 <= config.workers <= WORKERS_MAX:
        raise _bad(config, "workers", f"must be 0 to {WORKERS_MAX}")
    for key in ("health_port", "metrics_port"):
        if not 0 <= getattr(config, key) <= 65535:
            raise _bad(config, key, "must be a port, or 0")
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
    parser = argparse.ArgumentParser("wherry-netproxy", allow_abbrev=False, description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of the settings below, in snake_case")
    parser.add_argument(
        "--cleanup", action="store_true", help="remove the routes that a killed proxy left behind, and exit"
    )
    for field in fields(Config):
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, dest=field.name, metavar="VALUE", help=texts[field.name].replace("%", "%%"))
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
    if not isinstance(getattr(Config(), key), int):
        return str(value)
    try:
        return int(value)
    except (TypeError, ValueError) as exc:
        raise BadConfig(f"cannot use {key} {value!r}: must be a whole number") from exc


def _bad(config: Config, key: str, rule: str) -> BadConfig:
    return BadConfig(f"cannot use {key} {getattr(config, key)!r}: {rule}")
