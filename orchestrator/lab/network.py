"""The lab's network: which commands build it and which remove it (pure), and the small shell that runs them.

One bridge in a namespace of its own; the host and every node are plugged into it by a veth pair. The bridge cannot live
on the host: with `bridge-nf-call-iptables=1` (Docker sets it) the host's FORWARD policy would drop the nodes' frames.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.layout import LabLayout, NodeLayout
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

COMMAND_TIMEOUT_S = 20
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
NAMESPACES = Path("/run/netns")
RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVED_UPSTREAMS = Path("/run/systemd/resolve/resolv.conf")
"""Where systemd-resolved, which itself listens on loopback, writes down whom it asks."""

Command = tuple[str, ...]


class CommandFailed(Exception):
    """A command of the lab ended badly; the text has the command and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there already: namespaces by name, and links on the host by name."""

    namespaces: frozenset[str] = frozenset()
    host_links: frozenset[str] = frozenset()
    docker_user: bool = False
    """The host's own Docker filters forwarded traffic (its chain DOCKER-USER exists)."""


def commands_to_build(lab: LabLayout, observed: Observed) -> tuple[Command, ...]:
    """What is missing of the lab's network, in order. Nothing if everything is there."""
    commands: list[Command] = []
    switch = lab.switch_namespace
    if switch not in observed.namespaces:
        commands += [
            ("ip", "netns", "add", switch),
            ("ip", "-n", switch, "link", "set", "lo", "up"),
            ("ip", "-n", switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0"),
            ("ip", "-n", switch, "link", "set", "bridge", "up"),
        ]
    if lab.host_link not in observed.host_links or switch not in observed.namespaces:
        commands += [
            ("ip", "link", "add", lab.host_link, "type", "veth", "peer", "name", "host", "netns", switch),
            ("ip", "-n", switch, "link", "set", "host", "master", "bridge", "up"),
            ("ip", "address", "add", f"{lab.host_address}/{lab.prefix_length}", "dev", lab.host_link),
            ("ip", "link", "set", lab.host_link, "up"),
        ]
    for node in lab.nodes:
        if node.namespace not in observed.namespaces or switch not in observed.namespaces:
            commands += _commands_to_build_node(lab, node, exists=node.namespace in observed.namespaces)
    return tuple(commands)


def _commands_to_build_node(lab: LabLayout, node: NodeLayout, *, exists: bool) -> list[Command]:
    inside = ("ip", "-n", node.namespace)
    commands: list[Command] = [] if exists else [("ip", "netns", "add", node.namespace)]
    return [
        *commands,
        (*inside, "link", "set", "lo", "up"),
        (*inside, "link", "add", "eth0", "type", "veth", "peer", "name", node.name, "netns", lab.switch_namespace),
        ("ip", "-n", lab.switch_namespace, "link", "set", node.name, "master", "bridge", "up"),
        (*inside, "address", "add", f"{node.address}/{lab.prefix_length}", "dev", "eth0"),
        (*inside, "link", "set", "eth0", "up"),
        (*inside, "route", "replace", "default", "via", lab.host_address),
    ]


def commands_to_remove(lab: LabLayout, observed: Observed) -> tuple[Command, ...]:
    """What takes the network away again. Links go with the namespace at either end of them."""
    commands: list[Command] = []
    if lab.host_link in observed.host_links:
        commands.append(("ip", "link", "delete", lab.host_link))
    for name in sorted(observed.namespaces):
        if name.startswith(f"{lab.prefix}-"):
            commands.append(("ip", "netns", "delete", name))
    return tuple(commands)


def firewall(lab: LabLayout) -> str:
    """The nftables table that lets nodes reach the outside, replacing an earlier one of the same name in one step."""
    table = f"table ip {lab.prefix}"
    return f"""{table}
delete {table}
{table} {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ip saddr {lab.subnet} accept
    ip daddr {lab.subnet} accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {lab.subnet} ip daddr != {lab.subnet} masquerade
  }}
}}
"""


def docker_user_rules(lab: LabLayout) -> tuple[Command, ...]:
    """Rules for a host whose own Docker drops what it does not know: each without the `-I`/`-D` in front."""
    return (
        ("DOCKER-USER", "--source", lab.subnet, "--jump", "ACCEPT"),
        ("DOCKER-USER", "--destination", lab.subnet, "--jump", "ACCEPT"),
    )


def observe(lab: LabLayout) -> Observed:
    """Look at this machine."""
    links = json.loads(_output(("ip", "-json", "link", "show")))
    names = {link["ifname"] for link in links}
    return Observed(
        namespaces=frozenset(path.name for path in NAMESPACES.glob(f"{lab.prefix}-*")),
        host_links=frozenset(names),
        docker_user=_succeeds(("iptables", "--wait", "--list-rules", "DOCKER-USER")),
    )


def taken_networks() -> frozenset[str]:
    """The networks this machine has addresses in or routes to."""
    networks: set[str] = set()
    for link in json.loads(_output(("ip", "-json", "-4", "address", "show"))):
        networks |= {f"{entry['local']}/{entry['prefixlen']}" for entry in link.get("addr_info", ())}
    for route in json.loads(_output(("ip", "-json", "-4", "route", "show"))):
        if route["dst"] != "default":
            networks.add(route["dst"])
    return frozenset(networks)


def machine_address() -> str:
    """The address other machines know this one by: the one of its default route, else loopback."""
    routes = json.loads(_output(("ip", "-json", "-4", "route", "show", "default")) or "[]")
    for route in routes:
        if "prefsrc" in route:
            return str(route["prefsrc"])
        for link in json.loads(_output(("ip", "-json", "-4", "address", "show", "dev", route["dev"]))):
            for entry in link.get("addr_info", ()):
                return str(entry["local"])
    return "127.0.0.1"


def resolv_conf_for_nodes() -> str:
    """The file that names the DNS servers of this machine as nodes can reach them: not on its loopback."""
    servers = [line.split()[1] for line in RESOLV_CONF.read_text().splitlines() if line.startswith("nameserver ")]
    if servers and all(server.startswith("127.") for server in servers) and RESOLVED_UPSTREAMS.exists():
        return str(RESOLVED_UPSTREAMS)
    return str(RESOLV_CONF)


def build(lab: LabLayout) -> None:
    """Make the network what it should be; safe to repeat. Raises `CommandFailed`."""
    observed = observe(lab)
    for command in commands_to_build(lab, observed):
        run(command)
    run(("nft", "-f", "-"), stdin=firewall(lab))
    if observed.docker_user:
        for rule in docker_user_rules(lab):
            if not _succeeds(("iptables", "--wait", "--check", *rule)):
                run(("iptables", "--wait", "--insert", *rule))
    IP_FORWARD.write_text("1\n")


def remove(lab: LabLayout, *, ip_forward: str) -> list[str]:
    """Take everything away that `build` made, and put forwarding back to `ip_forward` (if not empty).

    Goes on past failures, and returns what could not be removed.
    """
    failures = []
    observed = observe(lab)
    commands: list[Command] = list(commands_to_remove(lab, observed))
    if shutil.which("nft") and _succeeds(("nft", "list", "table", "ip", lab.prefix)):
        commands.append(("nft", "delete", "table", "ip", lab.prefix))
    if observed.docker_user and lab.subnet:
        for rule in docker_user_rules(lab):
            if _succeeds(("iptables", "--wait", "--check", *rule)):
                commands.append(("iptables", "--wait", "--delete", *rule))
    for command in commands:
        try:
            run(command)
        except CommandFailed as failed:
            failures.append(str(failed))
    if ip_forward:
        IP_FORWARD.write_text(ip_forward + "\n")
    _forget_namespaces_directory()
    return failures


def cut(lab: LabLayout, name: str) -> None:
    """Unplug node `name` from the bridge: it and its pods reach nobody, and nobody reaches them."""
    run(("ip", "-n", lab.switch_namespace, "link", "set", lab.node(name).name, "down"))


def restore(lab: LabLayout, name: str) -> None:
    """Plug node `name` in again."""
    run(("ip", "-n", lab.switch_namespace, "link", "set", lab.node(name).name, "up"))


def run(command: Sequence[str], *, stdin: str = "") -> str:
    """Run one command to its end and return its output; raises `CommandFailed` with what it said."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(f"cannot run '{' '.join(command)}': {exc}") from exc
    if done.returncode != 0:
        raise CommandFailed(f"'{' '.join(command)}' ended with {done.returncode}: {done.stderr.strip()[:256]}")
    return done.stdout


def _output(command: Command) -> str:
    return run(command)


def _succeeds(command: Command) -> bool:
    try:
        run(command)
    except CommandFailed:
        return False
    return True


def _forget_namespaces_directory() -> None:
    """`ip netns` leaves `/run/netns` mounted on itself; take that away when no namespace is left in it."""
    if not NAMESPACES.is_dir() or any(NAMESPACES.iterdir()):
        return
    if NAMESPACES.is_mount() or _succeeds(("mountpoint", "--quiet", str(NAMESPACES))):
        _succeeds(("umount", str(NAMESPACES)))
    try:
        NAMESPACES.rmdir()
    except OSError as exc:
        logger.warning("lab.namespaces_directory", error=str(exc))
