"""Routes to pods of nodes behind a router: a VXLAN (RFC 7348) between the nodes' own addresses.

The hardware address of a node's end is made from the node's address, so nothing has to be told to anybody: whoever
knows a Node object knows where its pods' packets go.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping

from node_agent.network.commands import NetworkRefused, run, succeeds
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

DEVICE = "wherry-vxlan"
# Marks our routes in the kernel's table; any number that nobody registered, and not the direct routes'.
PROTOCOL = "89"
# Linux' own default port. The registered one, 4789, is Docker Swarm's on the same machines.
PORT = 8472
NETWORK_ID = 87


def hardware_address(node_address: str) -> str:
    """The hardware address of a node's end: locally administered, then the node's IPv4 address."""
    octets = ipaddress.IPv4Address(node_address).packed
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0x57, *octets))


def end_of(pod_network: str) -> str:
    """The address of a node's end within the tunnel: the first of its pod network, which no pod has."""
    return str(ipaddress.IPv4Network(pod_network)[0])


class TunnelRoutes:
    """Routes through the tunnel, which exists only while there are any."""

    def __init__(self, own_address: str) -> None:
        self._own_address = own_address
        self._known: dict[str, str] | None = None
        self._own_network = ""

    async def follow(self, wanted: Mapping[str, str], *, own_network: str) -> None:
        """Have exactly these routes, pod network to node address. Raises NetworkRefused with the others still done."""
        if not wanted or not own_network:
            if self._known != {}:
                await self.remove_all()
                self._known = {}
            return
        if self._known is None or self._own_network != own_network:
            await self._have_device(own_network)
            # What an earlier agent left is written again, which disturbs nothing, and removed where nobody wants it.
            self._known = dict.fromkeys(await self._kernel(), "")
        problems: list[str] = []
        for network in sorted(self._known.keys() - wanted.keys()):
            await self._try(problems, self._forget(network, self._known[network]))
            self._known.pop(network)
        for network, node in sorted(wanted.items()):
            if self._known.get(network) != node and await self._try(problems, self._lead(network, node)):
                self._known[network] = node
                logger.info("tunnel.set", network=network, node=node)
        if problems:
            raise NetworkRefused("; ".join(problems))

    async def remove_all(self) -> None:
        """Remove the device, and with it every route, neighbour and forwarding entry."""
        if await succeeds(("ip", "link", "show", DEVICE)):
            await run("ip", "link", "del", DEVICE)
        self._known = None

    async def _have_device(self, own_network: str) -> None:
        if await self._local_address() != self._own_address:
            await self.remove_all()
            kind = ("type", "vxlan", "id", str(NETWORK_ID), "dstport", str(PORT), "local", self._own_address)
            hardware = hardware_address(self._own_address)
            await run("ip", "link", "add", DEVICE, "address", hardware, *kind, "nolearning")
        # With an address of its own in the pod network, what the node itself sends is answered the same way back.
        await run("ip", "-4", "addr", "flush", "dev", DEVICE)
        await run("ip", "addr", "add", f"{end_of(own_network)}/32", "dev", DEVICE)
        await run("ip", "link", "set", DEVICE, "up")
        self._own_network = own_network

    async def _local_address(self) -> str:
        """The node address of the device that is there; "" if there is none."""
        try:
            found = json.loads(await run("ip", "-j", "-d", "link", "show", DEVICE))
        except NetworkRefused:
            return ""
        return str(found[0].get("linkinfo", {}).get("info_data", {}).get("local", ""))

    def _lead(self, network: str, node: str) -> tuple[tuple[str, ...], ...]:
        hardware, end = hardware_address(node), end_of(network)
        route = ("via", end, "dev", DEVICE, "onlink", "proto", PROTOCOL)
        return (
            ("bridge", "fdb", "replace", hardware, "dev", DEVICE, "dst", node, "self", "permanent"),
            ("ip", "neigh", "replace", end, "lladdr", hardware, "dev", DEVICE, "nud", "permanent"),
            ("ip", "-4", "route", "replace", network, *route),
        )

    def _forget(self, network: str, node: str) -> tuple[tuple[str, ...], ...]:
        commands: list[tuple[str, ...]] = [
            ("ip", "-4", "route", "del", network, "proto", PROTOCOL),
            ("ip", "neigh", "del", end_of(network), "dev", DEVICE),
        ]
        if node:  # unknown for what an earlier agent left: an entry that nobody asks for does no harm
            commands.append(("bridge", "fdb", "del", hardware_address(node), "dev", DEVICE, "dst", node, "self"))
        return tuple(commands)

    async def _kernel(self) -> list[str]:
        found = json.loads(await run("ip", "-4", "-j", "route", "show", "proto", PROTOCOL) or "[]")
        return [entry["dst"] for entry in found]

    async def _try(self, problems: list[str], commands: tuple[tuple[str, ...], ...]) -> bool:
        try:
            for command in commands:
                await run(*command)
        except NetworkRefused as refused:
            problems.append(str(refused))
            return False
        return True
