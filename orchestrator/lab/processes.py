"""Which processes a lab consists of: command lines, what each waits for, in which order they are stopped. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from orchestrator.lab.layout import (
    CLUSTER_DOMAIN,
    DEFAULT_PREFIX,
    DNS_ADDRESS,
    POD_CIDR,
    SERVICE_CIDR,
    LabLayout,
    NodeLayout,
)

MARK_LAB = "WHERRY_LAB"
"""Environment variable that every process of a lab carries (its children too): the state directory it belongs to."""
MARK_NAME = "WHERRY_LAB_PROCESS"
"""Environment variable with the process's name: how a supervisor started anew finds the processes of the last one."""

SUPERVISOR = "lab"
_HANDED_ON = ("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Rank(IntEnum):
    """Lower ranks are stopped first: nobody loses what it still needs to clean up."""

    DAEMON = 0
    CONTROL_PLANE = 1
    ENGINE = 2
    CONTAINERS = 3
    REGISTRY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process to keep running. It starts once every path in `needs` exists.

    `alone`: when it ends, what it started may live on (a containerd's shims hold the containers). Otherwise that is
    ended with it, as systemd does, before it is started again.
    """

    name: str
    argv: tuple[str, ...]
    rank: Rank
    needs: tuple[str, ...] = ()
    alone: bool = False

    def pid_file(self, run_dir: Path) -> Path:
        return run_dir / f"{self.name}.pid"


def environment(inherited: Mapping[str, str], *, state_dir: Path, name: str) -> dict[str, str]:
    """What a process of the lab gets: the few variables it needs, and the marks that it is found by."""
    kept = {key: inherited[key] for key in _HANDED_ON if key in inherited}
    return {"PATH": _PATH, "HOME": "/root"} | kept | {MARK_LAB: str(state_dir), MARK_NAME: name}


def processes_of(
    lab: LabLayout, *, own_engines: bool, registry: bool, hub: bool, resolv_conf: str
) -> tuple[ProcessSpec, ...]:
    """Everything the lab's supervisor keeps running.

    `own_engines`: each node has an engine of the lab's (else the machine's own is used). `registry`: the lab's registry
    runs, and with `hub` the pull-through cache of Docker Hub beside it. `resolv_conf`: the file with name servers that
    nodes reach.
    """
    specs = []
    if registry:
        specs.append(_registry(lab, "registry"))
    if hub:
        specs.append(_registry(lab, "hub-mirror"))
    specs.append(_orchestrator(lab))
    for node in lab.nodes:
        if own_engines:
            specs += [_containerd(node), _dockerd(node)]
        specs += [_node_agent(node, resolv_conf), _netproxy(node, resolv_conf)]
    return tuple(specs)


def inside(node: NodeLayout, *argv: str) -> tuple[str, ...]:
    """`argv`, run in the node's network. `nsenter --net`, not `ip netns exec`, which remounts /sys without cgroups."""
    if not node.namespace:
        return argv
    return ("nsenter", f"--net={node.namespace_path}", "--", *argv)


def python(module: str) -> tuple[str, ...]:
    """The command line of one of our own modules, under the interpreter that runs now."""
    return (sys.executable, "-m", module)


def _registry(lab: LabLayout, name: str) -> ProcessSpec:
    config = lab.state_dir / "registry" / f"{name}.yaml"
    argv = ("docker-registry", "serve", str(config))
    return ProcessSpec(name=name, argv=argv, rank=Rank.REGISTRY, needs=(str(config),))


def _orchestrator(lab: LabLayout) -> ProcessSpec:
    config = str(lab.state_dir / "orchestrator.yaml")
    argv = (*python("orchestrator"), "--config", config)
    return ProcessSpec(name="orchestrator", argv=argv, rank=Rank.CONTROL_PLANE, needs=(config,))


def _containerd(node: NodeLayout) -> ProcessSpec:
    config = str(node.directory / "containerd.toml")
    return ProcessSpec(
        name=f"{node.name}-containerd",
        argv=inside(node, "containerd", "--config", config),
        rank=Rank.CONTAINERS,
        needs=(config,),
        alone=True,
    )


def _dockerd(node: NodeLayout) -> ProcessSpec:
    config = str(node.directory / "daemon.json")
    return ProcessSpec(
        name=f"{node.name}-dockerd",
        argv=inside(node, "dockerd", "--config-file", config),
        rank=Rank.ENGINE,
        needs=(config, str(node.directory / "containerd.sock")),
        alone=True,
    )


def _node_agent(node: NodeLayout, resolv_conf: str) -> ProcessSpec:
    argv = inside(
        node,
        *python("node_agent"),
        *("--kubeconfig", str(node.kubeconfig)),
        *("--node-name", node.name),
        *("--node-ip", node.address),
        *("--docker-host", f"unix://{node.engine_socket}"),
        *("--state-dir", str(node.directory / "agent")),
        *("--cluster-dns", DNS_ADDRESS),
        *("--cluster-domain", CLUSTER_DOMAIN),
        *("--resolv-conf", resolv_conf),
    )
    return ProcessSpec(
        name=f"{node.name}-node-agent",
        argv=argv,
        rank=Rank.DAEMON,
        needs=(str(node.kubeconfig), str(node.engine_socket)),
    )


def _netproxy(node: NodeLayout, resolv_conf: str) -> ProcessSpec:
    argv = inside(
        node,
        *python("netproxy"),
        *("--kubeconfig", str(node.proxy_kubeconfig)),
        *("--node-name", node.name),
        *("--node-ip", node.address),
        *("--service-cidr", SERVICE_CIDR),
        *("--dns-address", DNS_ADDRESS),
        *("--cluster-domain", CLUSTER_DOMAIN),
        *("--state-dir", str(node.directory / "netproxy")),
        *("--resolv-conf", resolv_conf),
        *("--metrics-port", "10249"),
    )
    return ProcessSpec(name=f"{node.name}-netproxy", argv=argv, rank=Rank.DAEMON, needs=(str(node.proxy_kubeconfig),))


def orchestrator_config(lab: LabLayout) -> str:
    """The control plane's configuration file."""
    settings: dict[str, object] = {
        "state_dir": str(lab.state_dir),
        "advertise_address": lab.host_address,
        # In a lab only its network reaches the API server; a machine that is a node itself serves its pods too.
        "listen_address": "0.0.0.0" if lab.single else lab.host_address,
        "cluster_cidr": POD_CIDR,
        "service_cidr": SERVICE_CIDR,
        "dns_address": DNS_ADDRESS,
        "cluster_domain": CLUSTER_DOMAIN,
    }
    if lab.prefix != DEFAULT_PREFIX:
        # The well-known loopback ports are the first lab's; another one takes what is free.
        settings |= {"controllers_port": 0, "scheduler_port": 0}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


def containerd_config(node: NodeLayout) -> str:
    """The node's containerd: own root, state and socket; without the CRI plugin, which only a kubelet would use."""
    return f"""version = 2
root = "{node.directory}/containerd"
state = "{node.directory}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "{node.directory}/containerd.sock"
"""


def dockerd_config(lab: LabLayout, node: NodeLayout, *, mirrors: tuple[str, ...]) -> dict[str, object]:
    """The node's `daemon.json`. A file of its own, so that the machine's `/etc/docker/daemon.json` has no say."""
    return {
        "containerd": f"{node.directory}/containerd.sock",
        "data-root": f"{node.directory}/docker",
        "exec-root": f"{node.directory}/docker-exec",
        "pidfile": f"{node.directory}/docker.pid",
        "hosts": [f"unix://{node.engine_socket}"],
        # Pods live on a network of the node agent's; a docker0 would only add rules.
        "bridge": "none",
        "cgroup-parent": f"/{node.cgroup}",
        # The same on every machine: with systemd's driver, units would have to be cleaned up.
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        # An engine that is stopped or killed leaves its containers running.
        "live-restore": True,
        "userland-proxy": False,
        "log-level": "warn",
        "max-concurrent-downloads": 6,
        "registry-mirrors": [f"http://{mirror}" for mirror in mirrors],
        "insecure-registries": list(mirrors),
    }
