"""The proxy's settings: one frozen value, made from flags over environment over file over defaults."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.machinery.settings import LOG_LEVELS, bad, merged

ENVIRONMENT_PREFIX = "WHERRY_NETPROXY_"
WORKERS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user may set about the proxy. The docstring below each field is also its `--help` text."""

    kubeconfig: str = "/etc/wherry/node.kubeconfig"
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
            raise bad(key, getattr(config, key), "must be set")
    for key in ("node_ip", "dns_address"):
        try:
            ipaddress.IPv4Address(getattr(config, key))
        except ValueError as exc:
            raise bad(key, getattr(config, key), "must be an IPv4 address") from exc
    try:
        network = config.service_network
    except ValueError as exc:
        raise bad("service_cidr", config.service_cidr, "must be an IPv4 network such as 10.96.0.0/16") from exc
    if ipaddress.IPv4Address(config.dns_address) not in network:
        raise bad("dns_address", config.dns_address, f"must lie within service_cidr {config.service_cidr}")
    if not Path(config.state_dir).is_absolute():
        raise bad("state_dir", config.state_dir, "must be an absolute path")
    if not 0 <= config.workers <= WORKERS_MAX:
        raise bad("workers", config.workers, f"must be 0 to {WORKERS_MAX}")
    for key in ("health_port", "metrics_port"):
        if not 0 <= getattr(config, key) <= 65535:
            raise bad(key, getattr(config, key), "must be a port, or 0")
    if config.log_level not in LOG_LEVELS:
        raise bad("log_level", config.log_level, "must be debug, info, warning or error")


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Config, bool]:
    """The settings of this start, and whether `--cleanup` was asked for; then only types are checked.

    Raises `BadConfig`.
    """
    switches = {"cleanup": "remove the routes that a killed proxy left behind, and exit"}
    config, given = merged(
        Config(), arguments, environment, program="wherry-netproxy", prefix=ENVIRONMENT_PREFIX, switches=switches
    )
    if "cleanup" not in given:
        validate(config)
    return config, "cleanup" in given
