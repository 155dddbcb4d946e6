"""Keeps this node's pod network as the Node objects say. It outlives the agent: only `--cleanup` removes it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable

from node_agent.network import firewall
from node_agent.network.commands import NetworkRefused
from node_agent.network.routes import PodRoutes, wanted_routes
from node_agent.runtime.base import ContainerRuntime, RuntimeRefused, RuntimeUnreachable
from orchestrator.api.views.agent import Node
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

NETWORK = "wherry"
BRIDGE = "wherry0"
# Somebody may flush the packet filter (Docker's restart rebuilds its own part): ours is looked after in this rhythm.
_AGAIN_S = 60.0
_RETRY_S = 2.0


class PodNetwork:
    """`why_not_ready` is None once pods can have addresses; `ready` is called at that moment."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        nodes: Informer[Node],
        *,
        node_name: str,
        node_address: str,
        cluster_cidr: str,
        ready: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._nodes = nodes
        self._node_name = node_name
        self._cluster_cidr = cluster_cidr
        self._ready = ready
        self._routes = PodRoutes(node_address)
        self._changed = asyncio.Event()
        self._subnet = ""
        self.why_not_ready: str | None = "the node has no pod network yet (spec.podCIDR is empty)"

    async def run(self) -> None:
        """Follow the Node objects, for ever."""
        self._nodes.subscribe(self._node_changed)
        # Before that, routes of nodes that we have not heard of yet would be taken away.
        await self._nodes.wait_synced()
        while True:
            self._changed.clear()
            delay_s = _AGAIN_S
            try:
                await self._follow()
            except (NetworkRefused, RuntimeRefused, RuntimeUnreachable) as refused:
                logger.warning("network.retry", why=str(refused)[:512])
                if self.why_not_ready is not None:
                    self.why_not_ready = str(refused)
                delay_s = _RETRY_S
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is None or new is None or (old.spec, old.internal_ip) != (new.spec, new.internal_ip):
            self._changed.set()

    async def _follow(self) -> None:
        own = self._nodes.get(self._node_name)
        if own is not None and own.spec.pod_cidr:
            await self._have(ipaddress.IPv4Network(own.spec.pod_cidr))
        wanted = wanted_routes(self._nodes.values(), self._node_name)
        await self._routes.follow(wanted, own_network=self._subnet)

    async def _have(self, subnet: ipaddress.IPv4Network) -> None:
        if self._subnet != str(subnet):
            # New, or another than before: a node that was deleted and registered again gets what is free by then.
            gateway = str(subnet[1])
            await self._runtime.ensure_network(name=NETWORK, bridge=BRIDGE, subnet=str(subnet), gateway=gateway)
        await firewall.set_up(str(subnet), self._cluster_cidr)
        if self._subnet != str(subnet):
            logger.info("network.ready", subnet=str(subnet))
            self._subnet, self.why_not_ready = str(subnet), None
            self._ready()
