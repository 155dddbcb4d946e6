"""Routes to the other nodes' pods: directly over a network that the nodes share, through a tunnel behind routers."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping

from node_agent.network.commands import NetworkRefused, run
from node_agent.network.tunnel import TunnelRoutes
from orchestrator.api.views.agent import Node
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Marks our routes in the kernel's table; any number that nobody registered.
PROTOCOL = "88"


class PodRoutes:
    """All routes of a node to other nodes' pods, each by the way that leads there."""

    def __init__(self, own_address: str) -> None:
        self._direct = DirectRoutes()
        self._tunnel = TunnelRoutes(own_address)

    async def follow(self, wanted: Mapping[str, str], *, own_network: str) -> None:
        """Have exactly these routes, pod network to node address. Raises NetworkRefused with the others still done.

        `own_network` is this node's pod network, empty as long as it has none.
        """
        near, far = split(wanted, on_link=await networks_on_link())
        problems: list[str] = []
        for following in (self._direct.follow(near), self._tunnel.follow(far, own_network=own_network)):
            try:
                await following
            except NetworkRefused as refused:
                problems.append(str(refused))
        if problems:
            raise NetworkRefused("; ".join(problems))

    async def remove_all(self) -> None:
        """Remove every trace."""
        await self._direct.remove_all()
        await self._tunnel.remove_all()


async def networks_on_link() -> tuple[str, ...]:
    """The networks that this machine reaches without a router."""
    found = json.loads(await run("ip", "-4", "-j", "route", "show", "scope", "link") or "[]")
    return tuple(entry["dst"] for entry in found if entry["dst"] != "default")


def split(wanted: Mapping[str, str], *, on_link: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Routes to nodes on our own networks, and those to nodes behind a router."""
    networks = [ipaddress.IPv4Network(network) for network in on_link]
    near: dict[str, str] = {}
    far: dict[str, str] = {}
    for network, node in wanted.items():
        address = ipaddress.IPv4Address(node)
        (near if any(address in one for one in networks) else far)[network] = node
    return near, far


def wanted_routes(nodes: Iterable[Node], own_name: str) -> dict[str, str]:
    """Pod network to node address, for every other node that has both."""
    routes: dict[str, str] = {}
    for node in sorted(nodes, key=lambda node: node.metadata.name):
        if node.metadata.name == own_name or not node.spec.pod_cidr or not node.internal_ip:
            continue
        try:
            network = str(ipaddress.IPv4Network(node.spec.pod_cidr))
            routes[network] = str(ipaddress.IPv4Address(node.internal_ip))
        except ValueError:
            logger.warning("routes.bad", node=node.metadata.name, cidr=node.spec.pod_cidr, address=node.internal_ip)
    return routes


class DirectRoutes:
    """Plain routes via the other nodes' addresses. What an earlier agent left is taken over, not torn down."""

    def __init__(self) -> None:
        self._known: dict[str, str] | None = None

    async def follow(self, wanted: Mapping[str, str]) -> None:
        """Have exactly these routes. Safe to repeat."""
        known = self._known = await self._kernel() if self._known is None else self._known
        problems: list[str] = []
        for network in sorted(known.keys() - wanted.keys()):
            await self._try(problems, "route", "del", network, "proto", PROTOCOL)
            known.pop(network)
        for network, gateway in sorted(wanted.items()):
            if known.get(network) == gateway:
                continue
            if await self._try(problems, "route", "replace", network, "via", gateway, "proto", PROTOCOL):
                known[network] = gateway
                logger.info("route.set", network=network, via=gateway)
        if problems:
            raise NetworkRefused("; ".join(problems))

    async def remove_all(self) -> None:
        """Remove every route of ours."""
        await run("ip", "-4", "route", "flush", "proto", PROTOCOL)
        self._known = None

    async def _kernel(self) -> dict[str, str]:
        found = json.loads(await run("ip", "-4", "-j", "route", "show", "proto", PROTOCOL) or "[]")
        return {entry["dst"]: entry.get("gateway", "") for entry in found}

    async def _try(self, problems: list[str], *arguments: str) -> bool:
        try:
            await run("ip", "-4", *arguments)
        except NetworkRefused as refused:
            problems.append(str(refused))
            return False
        return True
