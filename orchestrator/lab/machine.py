"""With `--nodes 0` the machine itself is the node: what an engine of ours changes on it, and how that is undone.

In a lab all of this happens in namespaces and goes with them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from orchestrator.lab.layout import SERVICE_CIDR, LabLayout
from orchestrator.lab.network import Command, CommandFailed, run
from orchestrator.lab.processes import python
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

CLEANUP_TIMEOUT_S = 30
_CHAINS = "DOCKER"
SYSTEMD = Path("/run/systemd/system")


def start_engine_unit() -> bool:
    """Ask systemd for the machine's own engine; False where there is no systemd or no such unit."""
    if not SYSTEMD.is_dir():
        return False
    try:
        run(("systemctl", "start", "docker.service"))
    except CommandFailed as failed:
        logger.warning("lab.engine_unit", why=str(failed))
        return False
    return True


def stop_engine_unit() -> None:
    """Stop it again, with the socket that would bring it back."""
    run(("systemctl", "stop", "docker.service", "docker.socket"))


def forward_policy() -> str:
    """The host's policy for packets that it forwards: an engine that switches forwarding on also sets it to DROP."""
    for line in run(("iptables-save", "-t", "filter")).splitlines():
        if line.startswith(":FORWARD "):
            return line.split()[1]
    return "ACCEPT"


def has_engine_rules() -> bool:
    """Whether an engine's rules are there already: then they are somebody else's, and stay."""
    return any(line.startswith(f":{_CHAINS}") for line in run(("iptables-save",)).splitlines())


def rules_to_remove(saved: str) -> tuple[Command, ...]:
    """The commands that take an engine's chains, and the rules that lead there, out of what `iptables-save` printed."""
    deletions: list[Command] = []
    flushes: list[Command] = []
    removals: list[Command] = []
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(f":{_CHAINS}"):
            chain = line[1:].split()[0]
            flushes.append(("iptables", "--wait", "-t", table, "-F", chain))
            removals.append(("iptables", "--wait", "-t", table, "-X", chain))
        elif line.startswith("-A ") and not line.startswith(f"-A {_CHAINS}") and _is_an_engines(line):
            deletions.append(("iptables", "--wait", "-t", table, "-D", *line.split()[1:]))
    return (*deletions, *flushes, *removals)


def _is_an_engines(rule: str) -> bool:
    words = rule.split()
    return any(word.startswith(_CHAINS) for word in words) or bool({"docker0", "wherry0"} & set(words))


def clean_up_components(lab: LabLayout) -> None:
    """Let the agent and the proxy, which are stopped, take away what they keep through a restart."""
    node = lab.nodes[0]
    commands = (
        (
            *python("node_agent"),
            "--cleanup",
            *("--docker-host", f"unix://{node.engine_socket}"),
            *("--state-dir", str(node.directory / "agent")),
            *("--node-name", node.name),
            *("--node-ip", node.address),
            *("--kubeconfig", str(node.kubeconfig)),
        ),
        (
            *python("netproxy"),
            "--cleanup",
            *("--state-dir", str(node.directory / "netproxy")),
            *("--service-cidr", SERVICE_CIDR),
            *("--node-name", node.name),
            *("--node-ip", node.address),
            *("--kubeconfig", str(node.proxy_kubeconfig)),
        ),
    )
    for command in commands:
        try:
            subprocess.run(command, capture_output=True, timeout=CLEANUP_TIMEOUT_S, check=True, cwd="/")
        except (OSError, subprocess.SubprocessError) as exc:
            logger.warning("lab.cleanup", command=command[2], why=str(exc)[-256:])


def remove_engine_rules(*, policy: str) -> list[str]:
    """Undo what an engine of ours did to the host's packet filter; returns what did not work."""
    commands = list(rules_to_remove(run(("iptables-save",))))
    if policy:
        commands.append(("iptables", "--wait", "-P", "FORWARD", policy))
    failures = []
    for command in commands:
        try:
            run(command)
        except CommandFailed as failed:
            failures.append(str(failed))
    return failures
