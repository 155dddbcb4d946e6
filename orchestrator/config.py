"""The control plane's settings: one frozen value per process, made from flags over environment over file over defaults.

Kept free of heavy imports: the supervisor reads it too, and has to stay small.
"""

from __future__ import annotations

import argparse
import ipaddress
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

ENVIRONMENT_PREFIX = "WHERRY_"


class BadConfig(ValueError):
    """A setting that cannot be used; the text names the key, its value and the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user may set about the control plane. The docstring below each field is also its `--help` text."""

    state_dir: Path = Path("/var/lib/wherry")
    """Directory of all state: `pki/`, `store/`, `run/`, kubeconfigs. Made if missing; its secrets only root can read."""

    advertise_address: str = ""
    """Address at which nodes and clients reach the API server. Empty: the one listened on, else the default route's."""

    listen_address: str = "0.0.0.0"
    """Address the API server listens on. All of them by default, since pods reach it through every node's gateway."""

    port: int = 6443
    """TCP port of the API server, Kubernetes' usual one."""

    server_names: tuple[str, ...] = ()
    """Further names and addresses for the API server's certificate, comma-separated: a load balancer, a public name."""

    store: str = "sqlite"
    """Where objects are kept: `sqlite` (below the state directory), or `memory` (gone at every restart; for trying)."""

    cluster_cidr: str = "10.244.0.0/16"
    """Addresses of pods; each node gets a part of it."""

    service_cidr: str = "10.96.0.0/16"
    """Addresses of services. The first one is the `kubernetes` service's."""

    cluster_domain: str = "cluster.local"
    """The DNS domain of services."""

    dns_address: str = "10.96.0.10"
    """The service address at which every node's DNS answers; must lie within `service_cidr`."""

    node_ports: str = "30000-32767"
    """Ports that services of type NodePort may use, `FIRST-LAST`."""

    token_file: Path | None = None
    """Static tokens: a file of `token,user,uid,"group1,group2"` lines, read at start. None by default."""

    node_monitor_grace_s: float = 40.0
    """Seconds without a heartbeat after which a node counts as unreachable. Kubernetes' default: four missed beats."""

    controllers_port: int = 10257
    """Loopback port of the controllers' health and metrics endpoint, plain HTTP. 0: any free one."""

    scheduler_port: int = 10259
    """Loopback port of the scheduler's health and metrics endpoint, plain HTTP. 0: any free one."""

    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    @property
    def pki_dir(self) -> Path:
        return self.state_dir / "pki"

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"

    @property
    def store_path(self) -> Path:
        return self.state_dir / "store" / "wherry.db"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.state_dir / "admin.kubeconfig"

    def kubeconfig_of(self, process: str) -> Path:
        """The kubeconfig with which one of the control plane's own processes reaches the API server."""
        return self.pki_dir / f"{process}.kubeconfig"

    @property
    def server_url(self) -> str:
        """How the outside reaches the API server; needs `advertise_address`."""
        return f"https://{_in_url(self.advertise_address)}:{self.port}"

    @property
    def local_url(self) -> str:
        """How processes of this machine reach the API server."""
        everywhere = self.listen_address in ("0.0.0.0", "::", "")
        return f"https://{'127.0.0.1' if everywhere else _in_url(self.listen_address)}:{self.port}"

    @property
    def first_service_address(self) -> str:
        """The address of the `kubernetes` service."""
        return str(ipaddress.ip_network(self.service_cidr)[1])


def validate(config: Config) -> None:
    """Raise `BadConfig` for the first setting that breaks a rule."""
    networks = {key: _network(key, getattr(config, key)) for key in ("cluster_cidr", "service_cidr")}
    if networks["cluster_cidr"].overlaps(networks["service_cidr"]):
        raise _bad("service_cidr", config.service_cidr, f"must not overlap cluster_cidr {config.cluster_cidr}")
    if _address("dns_address", config.dns_address) not in networks["service_cidr"]:
        raise _bad("dns_address", config.dns_address, f"must lie within service_cidr {config.service_cidr}")
    if config.advertise_address:
        _address("advertise_address", config.advertise_address)
    _address("listen_address", config.listen_address)
    for key, lowest in (("port", 1), ("controllers_port", 0), ("scheduler_port", 0)):
        value = getattr(config, key)
        if not lowest <= value <= 65535:
            raise _bad(key, value, f"must be a port, {lowest} to 65535")
    if config.store not in ("sqlite", "memory"):
        raise _bad("store", config.store, "must be sqlite or memory")
    if config.log_level not in ("debug", "info", "warning", "error"):
        raise _bad("log_level", config.log_level, "must be debug, info, warning or error")
    if not config.node_monitor_grace_s > 0:
        raise _bad("node_monitor_grace_s", config.node_monitor_grace_s, "must be more than 0")
    first, _, last = config.node_ports.partition("-")
    if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) <= 65535):
        raise _bad("node_ports", config.node_ports, "must be FIRST-LAST, both ports")
    if not config.state_dir.is_absolute():
        raise _bad("state_dir", config.state_dir, "must be an absolute path")


def load(arguments: Sequence[str], environment: Mapping[str, str], *, program: str) -> Config:
    """Merge flags over environment over the file named by `--config` over the defaults, and validate.

    Raises `BadConfig`; `--help` and unknown flags end the process, as with every command.
    """
    parser = _parser(program)
    flags = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value is not None}
    path = flags.pop("config", None) or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    merged: dict[str, Any] = {}
    if path:
        merged.update(_from_file(Path(path)))
    for field in fields(Config):
        if (value := environment.get(ENVIRONMENT_PREFIX + field.name.upper())) is not None:
            merged[field.name] = value
    merged.update(flags)
    config = replace(Config(), **{key: _typed(key, value) for key, value in merged.items()})
    validate(config)
    return config


def docstrings() -> Mapping[str, str]:
    """The text below each field, by the field's name."""
    import ast  # noqa: PLC0415 - for `--help` alone: 3 MB that no running daemon needs
    import inspect  # noqa: PLC0415

    body = ast.parse(inspect.getsource(Config)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(following, ast.Expr)
            found[statement.target.id] = str(ast.literal_eval(following.value))
    return found


class _Help(argparse.Action):
    """`--help`, with the fields' docstrings read only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        texts = docstrings()
        for action in parser._actions:
            if action.dest in texts:
                action.help = texts[action.dest].replace("%", "%%")
        parser.print_help()
        parser.exit()


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(program, allow_abbrev=False, add_help=False)
    parser.add_argument("--help", "-h", nargs=0, action=_Help, help="show this and exit")
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of the settings below, in snake_case")
    for field in fields(Config):
        parser.add_argument("--" + field.name.replace("_", "-"), dest=field.name, metavar="VALUE")
    return parser


def _from_file(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - a process that is given no file does not pay for the parser

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
    wanted = typing.get_type_hints(Config)[key]
    try:
        if wanted is int:
            return int(value)
        if wanted is float:
            return float(value)
        if wanted in (Path, Path | None):
            return Path(value)
        if wanted == tuple[str, ...]:
            items = value.split(",") if isinstance(value, str) else value
            return tuple(str(item).strip() for item in items if str(item).strip())
    except (TypeError, ValueError) as exc:
        raise _bad(key, value, f"must be {getattr(wanted, '__name__', wanted)}") from exc
    return str(value)


def _network(key: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as exc:
        raise _bad(key, text, "must be an IPv4 network, ADDRESS/LENGTH") from exc


def _address(key: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as exc:
        raise _bad(key, text, "must be an IP address") from exc


def _bad(key: str, value: object, rule: str) -> BadConfig:
    return BadConfig(f"cannot use {key} '{value}': {rule}")


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
