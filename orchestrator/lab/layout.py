"""Where everything of a lab is: addresses, names, paths. Pure; every other part of the lab reads it from here."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

DEFAULT_STATE_DIR = "/var/lib/wherry"
DEFAULT_PREFIX = "wherry"
HOST_OCTET = 1
FIRST_NODE_OCTET = 11
NODES_MAX = 100
API_PORT = 6443
REGISTRY_PORT = 5089  # not 5000: Debian's own registry unit, once enabled, takes that on every address
HUB_MIRROR_PORT = 5090
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
PATH_CHARS_MAX = 60
"""Longest state directory: a Unix socket's path ends at 107 characters, and the engine's own take 45 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLayout:
    """One lab node. `namespace` is empty for a node that is the machine itself."""

    name: str
    address: str
    namespace: str
    directory: Path
    engine_socket: Path
    cgroup: str

    @property
    def namespace_path(self) -> str:
        """The namespace's file, for `nsenter --net=`; empty if the node is the machine itself."""
        return f"/run/netns/{self.namespace}" if self.namespace else ""

    @property
    def kubeconfig(self) -> Path:
        """The node agent's identity, written by joining."""
        return self.directory / "kubelet.kubeconfig"

    @property
    def proxy_kubeconfig(self) -> Path:
        """The proxy's identity."""
        return self.directory / "proxy.kubeconfig"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabLayout:
    """A whole lab. Two labs on one machine differ in state directory, and with it in prefix and subnet."""

    state_dir: Path
    subnet: str
    host_address: str
    nodes: tuple[NodeLayout, ...]
    single: bool = False
    """True if the machine itself is the only node: no namespaces, no links."""
    prefix: str = DEFAULT_PREFIX

    @property
    def switch_namespace(self) -> str:
        """The namespace of the bridge; of its own, so the host's firewall never sees the frames."""
        return f"{self.prefix}-switch"

    @property
    def host_link(self) -> str:
        """The host's interface in the lab network."""
        return f"{self.prefix}0"

    @property
    def prefix_length(self) -> int:
        return ipaddress.ip_network(self.subnet).prefixlen

    @property
    def server(self) -> str:
        """The API server's address, for nodes and kubeconfigs."""
        return f"https://{self.host_address}:{API_PORT}"

    @property
    def registry(self) -> str:
        """Where the lab's own registry listens."""
        return f"{self.host_address}:{REGISTRY_PORT}"

    @property
    def hub_mirror(self) -> str:
        """Where the pull-through cache of Docker Hub listens, if there is one."""
        return f"{self.host_address}:{HUB_MIRROR_PORT}"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.state_dir / "admin.kubeconfig"

    @property
    def run_dir(self) -> Path:
        """Process ids, one file each, and the lab's sockets."""
        return self.state_dir / "run"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "log"

    @property
    def record(self) -> Path:
        """What `up` decided and what it changed on the host: read again by later commands."""
        return self.state_dir / "lab.json"

    def node(self, name: str) -> NodeLayout:
        """The node called `name`; raises `KeyError` listing the names there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no node {name!r} in this lab; there are {', '.join(node.name for node in self.nodes)}")


def prefix_of(state_dir: Path) -> str:
    """What names of namespaces, links and cgroups begin with: short, since a link's name ends at 15 characters."""
    if str(state_dir) == DEFAULT_STATE_DIR:
        return DEFAULT_PREFIX
    return DEFAULT_PREFIX + hashlib.sha256(str(state_dir).encode()).hexdigest()[:4]


def lay_out(state_dir: Path, *, nodes: int, subnet: str) -> LabLayout:
    """The lab of `nodes` nodes in `subnet`, each in a namespace of its own."""
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"cannot lay out {nodes} nodes: between 1 and {NODES_MAX}")
    _check_path(state_dir)
    prefix = prefix_of(state_dir)
    first = ipaddress.ip_network(subnet).network_address
    laid = []
    for index in range(nodes):
        name = f"node-{index + 1}"
        directory = state_dir / "nodes" / name
        laid.append(
            NodeLayout(
                name=name,
                address=str(first + FIRST_NODE_OCTET + index),
                namespace=f"{prefix}-{name}",
                directory=directory,
                engine_socket=directory / "docker.sock",
                cgroup=f"{prefix}/{name}",
            )
        )
    return LabLayout(
        state_dir=state_dir, subnet=subnet, host_address=str(first + HOST_OCTET), nodes=tuple(laid), prefix=prefix
    )


def lay_out_single(state_dir: Path, *, name: str, address: str, engine_socket: Path | None) -> LabLayout:
    """No lab: the machine `name` is the only node. Without `engine_socket`, the node gets an engine of its own."""
    _check_path(state_dir)
    prefix = prefix_of(state_dir)
    directory = state_dir / "nodes" / name
    node = NodeLayout(
        name=name,
        address=address,
        namespace="",
        directory=directory,
        engine_socket=engine_socket or directory / "docker.sock",
        cgroup=f"{prefix}/{name}",
    )
    return LabLayout(state_dir=state_dir, subnet="", host_address=address, nodes=(node,), single=True, prefix=prefix)


def free_subnet(taken: frozenset[str]) -> str:
    """The first of 10.89.0.0/24, 10.89.1.0/24 … that overlaps none of the networks `taken`."""
    others = [ipaddress.ip_network(network, strict=False) for network in sorted(taken)]
    for third in range(256):
        candidate = ipaddress.ip_network(f"10.89.{third}.0/24")
        if not any(candidate.overlaps(other) for other in others if other.version == 4):
            return str(candidate)
    raise ValueError("cannot find a free network below 10.89.0.0/16 for the lab")


def _check_path(state_dir: Path) -> None:
    if not state_dir.is_absolute():
        raise ValueError(f"state directory {str(state_dir)!r} must be an absolute path")
    if len(str(state_dir)) > PATH_CHARS_MAX:
        raise ValueError(
            f"state directory {str(state_dir)!r} is too long: its sockets' paths would not fit; "
            f"at most {PATH_CHARS_MAX} characters"
        )
