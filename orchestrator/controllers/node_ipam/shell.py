"""Carries out the assignment of pod ranges, one at a time."""

from __future__ import annotations

from orchestrator.api.resources import NODES
from orchestrator.api.views.cluster import Node
from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.batches import InTurn
from orchestrator.controllers.context import Context
from orchestrator.controllers.node_ipam.decide import decide
from orchestrator.machinery.errors import Conflict, Invalid, NotFound
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)

# All nodes are one key: a range may be given only by somebody who sees all the others.
_EVERYTHING = "nodes"


class NodeIpamController:
    """Sets `spec.podCIDR` of every node."""

    name = "node-ipam"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("cidrAllocator")
        self._informers, self._nodes = context.informers, context.informers.nodes
        self._config = context.config
        self._queue = WorkQueue()
        # uid of a node -> the range written for it, until the cache shows it or the node is gone.
        self._promised: dict[str, str] = {}
        # Those of them whose write was not acknowledged.
        self._doubtful: set[str] = set()
        self._nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None and new.spec.pod_cidr:
            self._forget(new.metadata.uid)
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._forget(old.metadata.uid)
        if new is None or not new.spec.pod_cidr:
            self._queue.add(_EVERYTHING)

    async def sync(self, key: str) -> None:
        """Give every node without a range one."""
        in_turn = InTurn()
        for node in tuple(self._nodes.values()):
            cidr = self._promised.get(node.metadata.uid)
            if cidr is not None and node.metadata.uid in self._doubtful:
                with in_turn.each():
                    await self._write(node, cidr)
        assigned, exhausted = decide(
            [node for node in self._nodes.values() if node.metadata.uid not in self._promised],
            self._promised.values(),
            cluster_cidr=self._config.cluster_cidr,
            prefix=self._config.node_cidr_bits,
        )
        for one in assigned:
            with in_turn.each():
                await self._write(one.node, one.cidr)
        for node in exhausted.nodes if exhausted else ():
            message = f"Node {node.metadata.name} status is now: CIDRNotAvailable"
            self._recorder.warning(NODES, node, "CIDRNotAvailable", message)
        in_turn.end()

    async def _write(self, node: Node, cidr: str) -> None:
        meta = node.metadata
        # Promised before it is written: a write whose answer is lost may have happened, so it is written again and
        # never given to another.
        self._promised[meta.uid] = cidr
        self._doubtful.add(meta.uid)
        patch = {"metadata": {"uid": meta.uid}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
        logger.info("node-ipam.assign", node=meta.name, cidr=cidr)
        try:
            await self._client.patch(NODES, meta.name, patch, into=MetaView)
        except (NotFound, Conflict):
            self._forget(meta.uid)  # gone, or a namesake took its place, which is asked for by its own event
            return
        except Invalid:
            self._forget(meta.uid)  # somebody gave it another range first; the cache will show which
            raise
        self._doubtful.discard(meta.uid)

    def _forget(self, uid: str) -> None:
        self._promised.pop(uid, None)
        self._doubtful.discard(uid)
