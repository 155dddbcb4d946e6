"""What the packet filter must know of pods: who is masqueraded, and that Docker lets pods' packets through."""

from __future__ import annotations

from node_agent.network.commands import NetworkRefused, run, succeeds
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

TABLE = "wherry_pods"
_COMMENT = "wherry: pod traffic"


def masquerade(pod_cidr: str, cluster_cidr: str) -> str:
    """The nftables text: pods' packets to anything that is no pod leave with the node's address."""
    return f"""table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {pod_cidr} ip daddr != {cluster_cidr} ip daddr != 224.0.0.0/4 masquerade
    }}
}}
"""


def accepted(cluster_cidr: str) -> tuple[tuple[str, ...], ...]:
    """The rules in `DOCKER-USER`, where others speak first: Docker's own drop what comes from other nodes."""
    ending = ("-m", "comment", "--comment", _COMMENT, "-j", "ACCEPT")
    return (("DOCKER-USER", "-s", cluster_cidr, *ending), ("DOCKER-USER", "-d", cluster_cidr, *ending))


async def set_up(pod_cidr: str, cluster_cidr: str) -> None:
    """Have the rules. Safe to repeat. Raises NetworkRefused."""
    await run("nft", "-f", "-", stdin=masquerade(pod_cidr, cluster_cidr))
    for rule in accepted(cluster_cidr):
        if not await succeeds(("iptables", "--wait", "--check", *rule)):
            await run("iptables", "--wait", "--insert", *rule)


async def tear_down(cluster_cidr: str) -> None:
    """Remove the rules; success if they are gone."""
    if await succeeds(("nft", "list", "table", "ip", TABLE)):
        await run("nft", "delete", "table", "ip", TABLE)
    for rule in accepted(cluster_cidr):
        try:
            while await succeeds(("iptables", "--wait", "--check", *rule)):
                await run("iptables", "--wait", "--delete", *rule)
        except NetworkRefused as refused:
            logger.warning("firewall.rule.stays", why=str(refused))
