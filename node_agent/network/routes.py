"""Routes to the other nodes' pods, directly over the network that the nodes share."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import Protocol

from node_agent.network.commands import NetworkRefused, run
from orchestrator.api.views.agent import Node
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Marks our routes in the kernel's table; any number that nobody registered.
PROTOCOL = "88"


class Overlay(Protocol):
    """How pods' packets reach another node: `DirectRoutes` where the nodes share a network.

    The place of a VXLAN for nodes that do not: the same two methods, with a tunnel device as the routes' target.
    """

    async def follow(self, wanted: Mapping[str, str]) -> None:
        """Have exactly these routes, pod network to node address. Raises NetworkRefused with the others still done."""
        ...

    async def remove_all(self) -> None:
        """Remove every trace."""
        ...


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
