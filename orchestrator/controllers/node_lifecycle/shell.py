"""Carries out node health and eviction: listens for heartbeats, writes conditions and taints, deletes pods in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from orchestrator.api.resources import NAMESPACES, NODES, PODS
from orchestrator.api.views.cluster import Node, Taint
from orchestrator.api.views.meta import Condition, LeaseView, MetaView
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.batches import InTurn
from orchestrator.controllers.context import NODE_LEASE_NAMESPACE, Context
from orchestrator.controllers.moments import text_of
from orchestrator.controllers.node_lifecycle.decide import Decision, Eviction, decide, is_ready, lost, regained
from orchestrator.controllers.node_lifecycle.decide_eviction import NEVER, bound_at, evict_at, since
from orchestrator.controllers.node_lifecycle.decide_zones import Brake, Census, ZoneState, rate_of, zone_of
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.machinery.client import STRATEGIC_PATCH
from orchestrator.machinery.errors import ApiError, Conflict, NotFound, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Heard:
    """The newest sign of life of a node, and when (monotonic) we first saw it."""

    renewed: str | None
    posted: str | None
    at_s: float


class NodeLifecycleController:
    """Writes what is known of nodes' health: conditions, taints, and the readiness of pods nobody can reach.

    A node is silent when *we* have seen no new heartbeat for the grace period: clocks of machines are not compared.
    """

    name = "node-lifecycle"

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._config = context.client, context.clock, context.config
        self._recorder = context.recorder("node-controller")
        self._informers = context.informers
        self._nodes, self._leases = context.informers.nodes, context.informers.leases
        self._pods = context.informers.pods
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._heard: dict[str, _Heard] = {}
        self._census, self._brake = Census(), Brake()
        self._states: dict[str, ZoneState] = {}
        self._started = False
        self._nodes.subscribe(self._node_changed)
        self._leases.subscribe(self._lease_changed)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        self._started = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_for_ourselves(), name="node-lifecycle-ears")
            group.create_task(
                work(self.name, self._queue, self.sync, clock=self._clock, concurrency=4), name="node-lifecycle-work"
            )

    async def _listen_for_ourselves(self) -> None:
        """Prove again and again that we would hear a node: while we hear nothing, silence means nothing.

        After the API server was away, or this process stood still, every node gets a whole grace period anew.
        """
        period_s = self._config.node_monitor_period_s
        proven_s = self._clock.monotonic()
        while True:
            await asyncio.sleep(period_s)
            try:
                async with asyncio.timeout(period_s):
                    await self._client.get(NAMESPACES, NODE_LEASE_NAMESPACE, into=MetaView)
            except NotFound:
                pass  # an answer is an answer
            except (ApiError, Unreachable, TimeoutError):
                continue
            now_s = self._clock.monotonic()
            if now_s - proven_s > 2.5 * period_s:
                logger.warning("node.deaf", why=f"no answer from the API for {now_s - proven_s:.0f} s")
                self._hear_all_anew()
            proven_s = now_s

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            name = old.metadata.name
            self._heard.pop(name, None)
            self._census.forget(name)
            self._recorder.normal(
                NODES, old, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller"
            )
        else:
            name = new.metadata.name
            self._listen(name)
            self._queue.add(name)
            if old is None and self._started:
                message = f"Node {name} event: Registered Node {name} in Controller"
                self._recorder.normal(NODES, new, "RegisteredNode", message)
        self._look_at_zones()

    def _lease_changed(self, old: LeaseView | None, new: LeaseView | None) -> None:
        if new is None or new.metadata.namespace != NODE_LEASE_NAMESPACE:
            return
        if self._nodes.get(new.metadata.name) is not None:
            self._listen(new.metadata.name)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or not new.spec.node_name or not new.is_ready or (old is not None and old.is_ready):
            return
        node = self._nodes.get(new.spec.node_name)
        if node is not None and not is_ready(node):
            self._queue.add(new.spec.node_name)

    def _listen(self, name: str) -> None:
        node, lease = self._nodes.get(name), self._leases.get(f"{NODE_LEASE_NAMESPACE}/{name}")
        ready = node.condition("Ready") if node is not None else None
        renewed = lease.spec.renew_time if lease is not None else None
        posted = ready.last_heartbeat_time if ready is not None else None
        heard = self._heard.get(name)
        if heard is None or (heard.renewed, heard.posted) != (renewed, posted):
            heard = self._heard[name] = _Heard(renewed, posted, self._clock.monotonic())
        if node is not None:
            silent_at_s = heard.at_s + self._config.node_monitor_grace_s
            self._census.observe(name, zone=zone_of(node), ready=is_ready(node), silent_at_s=silent_at_s)

    def _hear_all_anew(self) -> None:
        """Give every node a whole grace period from here on."""
        now_s = self._clock.monotonic()
        self._heard = {name: replace(heard, at_s=now_s) for name, heard in self._heard.items()}
        for name in self._heard:
            self._listen(name)

    def _look_at_zones(self) -> None:
        """Note how the zones stand; where that changed, it decides on the taints of their nodes that are not ready."""
        states = {zone: state for zone, (state, _) in self._census.states(self._clock.monotonic()).items()}
        if states == self._states:
            return
        before, self._states = self._states, states
        self._brake.keep(states)
        if _all_full(before) and not _all_full(states):
            self._hear_all_anew()
        changed = {zone for zone in states if before.get(zone) is not states[zone]}
        for zone in changed:
            logger.info("node.zone", zone=zone, why=states[zone].value)
        if _all_full(before) != _all_full(states):
            changed = set(states)
        for node in self._nodes.values():
            if not is_ready(node) and zone_of(node) in changed:
                self._queue.add(node.metadata.name)

    async def sync(self, key: str) -> None:
        """Judge one node."""
        node = self._nodes.get(key)
        if node is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        self._listen(key)
        left_s = self._left_s(key)
        now = self._clock.now()
        decision, wait_s = self._decide(node, silent=left_s <= 0, now=now)
        if decision.conditions:
            await self._write_conditions(node, decision.conditions)
        if decision.taints is not None:
            await self._write_taints(node, decision.taints)
        next_s = left_s if left_s > 0 else self._config.node_monitor_grace_s
        self._queue.add_after(key, next_s if wait_s is None else min(next_s, wait_s))
        if decision.is_unreachable or is_ready(node):
            await self._mark_pods(node, reachable=not decision.is_unreachable, now=now)

    def _decide(self, node: Node, *, silent: bool, now: float) -> tuple[Decision, float | None]:
        """What to write on a node, and, where its zone's brake holds that up, seconds until it does no more."""
        self._look_at_zones()
        now_s = self._clock.monotonic()
        zones = self._census.states(now_s)
        if _all_full(self._states):
            return decide(node, silent=silent, eviction=Eviction.NEVER, now=now), None
        later = decide(node, silent=silent, eviction=Eviction.LATER, now=now)
        if not later.waits:
            return later, None
        zone = zone_of(node)
        wait_s = self._brake.wait_s(zone, rate_of(*zones[zone]), now_s)
        if wait_s != 0.0:
            return later, wait_s
        self._brake.spend(zone, now_s)
        return decide(node, silent=silent, eviction=Eviction.NOW, now=now), None

    def _left_s(self, name: str) -> float:
        """Seconds until the node counts as silent."""
        heard = self._heard.get(name)
        since_s = heard.at_s if heard is not None else self._clock.monotonic()
        return since_s + self._config.node_monitor_grace_s - self._clock.monotonic()

    async def _write_conditions(self, node: Node, conditions: tuple[Condition, ...]) -> None:
        name = node.metadata.name
        logger.warning("node.silent", node=name, why=conditions[0].message)
        # The revision makes it fail if the node's own, newer word has arrived since we looked.
        meta = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version}
        patch = {"metadata": meta, "status": {"conditions": conditions}}
        written = await self._client.patch(
            NODES, name, patch, into=MetaView, subresource="status", patch_type=STRATEGIC_PATCH
        )
        self._own.wrote(name, self._nodes, written.metadata)
        self._recorder.normal(NODES, node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")

    async def _write_taints(self, node: Node, taints: tuple[Taint, ...]) -> None:
        name = node.metadata.name
        logger.info("node.taints", node=name, taints=[f"{taint.key}:{taint.effect}" for taint in taints])
        # The list is replaced as a whole, so nobody else's change since may be lost: read it again just before.
        live = await self._client.get(NODES, name, into=Node)
        if live.metadata.uid != node.metadata.uid or live.spec.taints != node.spec.taints:
            raise Conflict(f"taints of node '{name}' have changed")
        meta = {"uid": node.metadata.uid, "resourceVersion": live.metadata.resource_version}
        body = [_taint_body(taint) for taint in taints]
        patch = {"metadata": meta, "spec": {"taints": body}}
        written = await self._client.patch(NODES, name, patch, into=MetaView)
        self._own.wrote(name, self._nodes, written.metadata)

    async def _mark_pods(self, node: Node, *, reachable: bool, now: float) -> None:
        """Services must stop using pods that nobody can reach, and use them again when their node is back."""
        in_turn = InTurn()
        for pod in self._pods.by_index("node", node.metadata.name):
            condition = regained(pod, now) if reachable else lost(pod, now)
            if condition is not None:
                with in_turn.each():
                    await self._mark_pod(node, pod, condition, reachable=reachable)
        in_turn.end()

    async def _mark_pod(self, node: Node, pod: Pod, condition: Condition, *, reachable: bool) -> None:
        meta = pod.metadata
        # The revision makes it fail if the node's own, newer word has arrived since we looked.
        patch = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            # A merge keeps what is not named: a reason that no longer holds must be taken out by name.
            "status": {"conditions": [{"reason": None, "message": None, **msgspec.to_builtins(condition)}]},
        }
        try:
            written = await self._client.patch(
                PODS, meta.name, patch, meta.namespace, into=MetaView, subresource="status", patch_type=STRATEGIC_PATCH
            )
        except NotFound:
            return
        self._own.wrote(node.metadata.name, self._pods, written.metadata)
        if not reachable:
            self._recorder.warning(PODS, pod, "NodeNotReady", "Node is not ready")


def _all_full(states: Mapping[str, ZoneState]) -> bool:
    """Whether no zone has a node that is ready; then we are more likely at fault than all of them."""
    return bool(states) and all(state is ZoneState.FULL for state in states.values())


class TaintEvictionController:
    """Deletes the pods that do not tolerate their node's NoExecute taints, each at its time."""

    name = "taint-eviction"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("taint-eviction-controller")
        self._informers = context.informers
        self._nodes, self._pods = context.informers.nodes, context.informers.pods
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._taints: dict[str, dict[Taint, float]] = {}  # by node: each NoExecute taint, and since when
        self._nodes.subscribe(self._node_changed)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._informers.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock, concurrency=4)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._taints.pop(old.metadata.name, None)
            return
        if old is None or old.spec.taints != new.spec.taints:
            self._note_taints(new)
            if _evicts(new):
                self._queue.add(new.metadata.name)

    def _note_taints(self, node: Node) -> dict[Taint, float]:
        name = node.metadata.name
        taints = since(node.spec.taints, self._taints.get(name, {}), now=self._clock.now())
        if taints:
            self._taints[name] = taints
        else:
            self._taints.pop(name, None)
        return taints

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or not new.spec.node_name:
            return
        if old is None or (old.spec.node_name, old.spec.tolerations) != (new.spec.node_name, new.spec.tolerations):
            node = self._nodes.get(new.spec.node_name)
            if node is not None and _evicts(node):
                self._queue.add(new.spec.node_name)

    async def sync(self, key: str) -> None:
        """Delete the pods of one node whose time has come, and come back for the next."""
        node = self._nodes.get(key)
        if node is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        if not _evicts(node):
            return
        next_s, taints, in_turn = NEVER, self._note_taints(node), InTurn()
        for pod in self._pods.by_index("node", key):
            if pod.is_terminating:
                continue
            left_s = evict_at(pod.spec.tolerations, taints, bound_at=bound_at(pod)) - self._clock.now()
            if left_s <= 0:
                with in_turn.each():
                    await self._evict(node, pod)
            else:
                next_s = min(next_s, left_s)
        if next_s != NEVER:
            self._queue.add_after(key, next_s)
        in_turn.end()

    async def _evict(self, node: Node, pod: Pod) -> None:
        meta = pod.metadata
        logger.info("pod.evict", pod=meta.key, node=node.metadata.name)
        now = text_of(self._clock.now())
        condition = Condition(
            type="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            last_transition_time=now,
        )
        patch = {"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(
                PODS, meta.name, patch, meta.namespace, into=MetaView, subresource="status", patch_type=STRATEGIC_PATCH
            )
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return  # gone, or a namesake took its place
        self._own.deleted(node.metadata.name, self._pods, meta)
        self._recorder.normal(PODS, pod, "TaintManagerEviction", f"Marking for deletion Pod {meta.key}")


def _evicts(node: Node) -> bool:
    return any(taint.effect == "NoExecute" for taint in node.spec.taints)


def _taint_body(taint: Taint) -> dict[str, str]:
    body = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        body["value"] = taint.value
    if taint.time_added is not None:
        body["timeAdded"] = taint.time_added
    return body
