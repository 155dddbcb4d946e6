"""The agent's settings: one frozen value, made from flags over environment over file over defaults."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.api import quantities
from orchestrator.machinery.settings import LOG_LEVELS, bad, merged

ENVIRONMENT_PREFIX = "WHERRY_NODE_AGENT_"


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
            raise bad(key, getattr(config, key), "must be set")
    for key, text in [("node_ip", config.node_ip), *(("cluster_dns", server) for server in config.dns_servers)]:
        try:
            ipaddress.IPv4Address(text)
        except ValueError as exc:
            raise bad(key, getattr(config, key), "must be an IPv4 address") from exc
    try:
        ipaddress.IPv4Network(config.cluster_cidr)
    except ValueError as exc:
        raise bad("cluster_cidr", config.cluster_cidr, "must be an IPv4 network such as 10.244.0.0/16") from exc
    if not Path(config.state_dir).is_absolute():
        raise bad("state_dir", config.state_dir, "must be an absolute path")
    for key in ("kubelet_port", "health_port"):
        if not 0 <= getattr(config, key) <= 65535:
            raise bad(key, getattr(config, key), "must be a port")
    for key in ("cpu_reserved", "memory_reserved"):
        try:
            quantities.parse(getattr(config, key))
        except quantities.BadQuantity as exc:
            raise bad(key, getattr(config, key), "must be a quantity") from exc
    if not 1 <= config.pods_max <= 1000:
        raise bad("pods_max", config.pods_max, "must be 1 to 1000")
    if config.lease_interval_s <= 0:
        raise bad("lease_interval_s", config.lease_interval_s, "must be above 0")
    if config.lease_duration_s < 2 * config.lease_interval_s:
        raise bad("lease_duration_s", config.lease_duration_s, "must be at least twice lease_interval_s")
    if config.log_level not in LOG_LEVELS:
        raise bad("log_level", config.log_level, "must be debug, info, warning or error")


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Config, bool]:
    """The settings of this start, and whether `--cleanup` was asked for; then only what cleaning needs is checked.

    Raises `BadConfig`.
    """
    switches = {"cleanup": "remove this node's pods, network, routes and rules, and exit; a plain stop leaves them"}
    config, given = merged(
        Config(), arguments, environment, program="wherry-node-agent", prefix=ENVIRONMENT_PREFIX, switches=switches
    )
    if "cleanup" not in given:
        validate(config)
    return config, "cleanup" in given
