"""The control plane's settings: one frozen value per process, made from flags over environment over file over defaults.

Kept free of heavy imports: the supervisor reads it too, and has to stay small.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.api.numbers import parse_uint64
from orchestrator.machinery.settings import LOG_LEVELS, BadConfig, bad, merged

ENVIRONMENT_PREFIX = "WHERRY_"

__all__ = ["BadConfig", "Config", "load", "validate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user may set about the control plane. The docstring below each field is also its `--help` text."""

    state_dir: Path = Path("/var/lib/wherry")
    """Directory of all state: `pki/`, `store/`, `run/`, kubeconfigs. Made if missing; only root reads secrets."""

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

    backup_every_s: float = 43_200.0
    """Seconds between two backups of the store, which are verified. 0: none. Twice a day by default."""

    backups_kept: int = 5
    """How many backups are kept; the oldest go first."""

    backup_dir: Path | None = None
    """Directory of the backups; best on another disk. Empty: `backups/` below the state directory."""

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
    def backups_path(self) -> Path:
        return self.backup_dir or self.state_dir / "backups"

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
    def node_port_range(self) -> tuple[int, int]:
        """The first and the last node port. Raises `ValueError` before `validate` has been passed."""
        first, last = self.node_ports.split("-")
        return parse_uint64(first), parse_uint64(last)

    @property
    def first_service_address(self) -> str:
        """The address of the `kubernetes` service."""
        return str(ipaddress.ip_network(self.service_cidr)[1])


def validate(config: Config) -> None:
    """Raise `BadConfig` for the first setting that breaks a rule."""
    networks = {key: _network(key, getattr(config, key)) for key in ("cluster_cidr", "service_cidr")}
    if networks["cluster_cidr"].overlaps(networks["service_cidr"]):
        raise bad("service_cidr", config.service_cidr, f"must not overlap cluster_cidr {config.cluster_cidr}")
    if _address("dns_address", config.dns_address) not in networks["service_cidr"]:
        raise bad("dns_address", config.dns_address, f"must lie within service_cidr {config.service_cidr}")
    if config.advertise_address:
        _address("advertise_address", config.advertise_address)
    _address("listen_address", config.listen_address)
    for key, lowest in (("port", 1), ("controllers_port", 0), ("scheduler_port", 0)):
        value = getattr(config, key)
        if not lowest <= value <= 65535:
            raise bad(key, value, f"must be a port, {lowest} to 65535")
    if config.store not in ("sqlite", "memory"):
        raise bad("store", config.store, "must be sqlite or memory")
    if not (config.backup_every_s == 0 or config.backup_every_s >= 60):
        raise bad("backup_every_s", config.backup_every_s, "must be 0, or 60 at least")
    if config.backups_kept < 1:
        raise bad("backups_kept", config.backups_kept, "must be 1 at least")
    if config.backup_dir is not None and not config.backup_dir.is_absolute():
        raise bad("backup_dir", config.backup_dir, "must be an absolute path")
    if config.log_level not in LOG_LEVELS:
        raise bad("log_level", config.log_level, "must be debug, info, warning or error")
    if not config.node_monitor_grace_s > 0:
        raise bad("node_monitor_grace_s", config.node_monitor_grace_s, "must be more than 0")
    try:
        first, last = config.node_port_range
    except ValueError as exc:
        raise bad("node_ports", config.node_ports, "must be FIRST-LAST, both ports") from exc
    if not 0 < first <= last <= 65535:
        raise bad("node_ports", config.node_ports, "must be FIRST-LAST, both ports")
    if not config.state_dir.is_absolute():
        raise bad("state_dir", config.state_dir, "must be an absolute path")


def load(arguments: Sequence[str], environment: Mapping[str, str], *, program: str) -> Config:
    """Flags over environment over the file named by `--config` over the defaults, validated.

    Raises `BadConfig`; `--help` and unknown flags end the process, as with every command.
    """
    config, _ = merged(Config(), arguments, environment, program=program, prefix=ENVIRONMENT_PREFIX)
    validate(config)
    return config


def _network(key: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as exc:
        raise bad(key, text, "must be an IPv4 network, ADDRESS/LENGTH") from exc


def _address(key: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as exc:
        raise bad(key, text, "must be an IP address") from exc


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
