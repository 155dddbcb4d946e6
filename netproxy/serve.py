"""The proxy process put together: watches, rules, data path, DNS, health; here the real clock and client are made."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import REGISTRY

from netproxy import metrics, routes, state
from netproxy.cluster import Cluster
from netproxy.config import Config
from netproxy.dns.chain import Chain
from netproxy.dns.plugins.cache import Cache
from netproxy.dns.plugins.forward import Forward, Resolvers
from netproxy.dns.plugins.kubernetes import Kubernetes
from netproxy.dns.records import Zone
from netproxy.dns.server import Server
from netproxy.forward.pool import WorkerPool
from netproxy.rules import ANY_ADDRESS, Frontend, Rule
from orchestrator.api.resources import ENDPOINTSLICES, NODES, SERVICES
from orchestrator.api.views.meta import ObjectReference
from orchestrator.api.views.network import EndpointSlice, NodeView, Service
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, SystemClock
from orchestrator.machinery.credentials import follow_credentials
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import serve_health
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.machinery.tasks import settle_memory

logger = get_logger(__name__)

DNS_PORT = 53
WORKERS_DEFAULT_MAX = 2
# Between two rounds of changes: a rollout's many small ones are taken together, and the first is not delayed.
SETTLE_PAUSE_S = 0.02
# Services worked out in one go: a few milliseconds.
SERVICES_AT_ONCE = 64
# Workers normally apply a batch within milliseconds; one that was killed takes its successor's start.
APPLY_TIMEOUT_S = 5.0
SAVE_PAUSE_S = 2.0
RETRY_S = 5.0
# Routes that somebody else removed are back after this.
REPAIR_S = 30.0


async def serve(config: Config, server: ClientConfig) -> None:
    """Run the proxy until cancelled; its routes go with it."""
    clock = SystemClock()
    proxy = Proxy(config, clock, routes.Routes())
    blocking = BlockingCalls("state", threads=1)
    try:
        async with Client(server, user_agent="wherry-netproxy") as client:
            await proxy.run(client, blocking)
    except asyncio.CancelledError:
        await routes.remove_all()  # not after a failure: the next proxy comes at once, and finds them
        raise
    finally:
        blocking.close()


Part = Callable[[], Coroutine[Any, Any, None]]


class LocalAddresses(Protocol):
    """Makes exactly these addresses and networks local to the node; raises `RouteError`."""

    async def follow(self, wanted: Iterable[str], *, again: bool = False) -> None: ...


class Proxy:
    """One node's proxy: `run` it."""

    def __init__(self, config: Config, clock: Clock, local: LocalAddresses, *, dns_port: int = DNS_PORT) -> None:
        self._config = config
        self._clock = clock
        zone = Zone(config.cluster_domain, config.dns_address)
        reserved = [Frontend(protocol, config.dns_address, DNS_PORT) for protocol in ("TCP", "UDP")]
        self.cluster = Cluster(zone, config.node_name, reserved=reserved)
        self.pool = WorkerPool(config.workers or min(os.cpu_count() or 1, WORKERS_DEFAULT_MAX), clock)
        self._kubernetes = Kubernetes(zone, config.service_network)
        resolvers = Resolvers(Path(config.resolv_conf), [config.service_network], clock)
        chain = Chain([self._kubernetes], Cache(), Forward(resolvers, dice=random.SystemRandom()), clock)
        self.dns = Server(chain, config.dns_address, dns_port)
        self._local = local
        self._changed = asyncio.Event()
        self._changed_at: float | None = None
        self._has_rules = False  # or the workers would seem to have applied the newest before there are any
        self._unsaved = asyncio.Event()

    async def run(self, client: Client, blocking: BlockingCalls) -> None:
        """Serve, for ever; first from what was last known, then from the API server whenever it answers."""
        REGISTRY.register(
            collector := metrics.ProxyCollector(self.pool.totals, lambda: len(self.pool.failures()), self.dns.answers)
        )
        directory = Path(self._config.state_dir)
        known = await blocking.call(state.load, directory)
        if known is not None:
            logger.info("state.loaded", services=len(known.services), slices=len(known.slices))
            self.cluster.load(known)
            self._note_change()
        recorder = EventRecorder(client, self._clock, component="wherry-netproxy", host=self._config.node_name)
        checks = {"rules": self._rules_problem, "dns": self._dns_problem}
        await self._follow_routes({})  # before anything listens
        settle_memory()
        try:
            async with (
                serve_health("127.0.0.1", self._config.health_port, checks=checks, metrics=False),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self.pool.run(), name="workers")
                parts: dict[str, Part] = {
                    "settle": self._settle,
                    "dns": self._serve_dns,
                    "routes": self._repair_routes,
                    "save": lambda: self._save(directory, blocking),
                    "events": recorder.run,
                    "failures": lambda: self._tell_failures(recorder),
                    "watch": lambda: self._watch(client),
                    "credentials": lambda: follow_credentials(client, Path(self._config.kubeconfig)),
                }
                if self._config.metrics_port:
                    parts["metrics"] = self._serve_metrics
                for name, part in parts.items():
                    group.create_task(self._keep_running(name, part), name=name)
        finally:
            REGISTRY.unregister(collector)

    async def _keep_running(self, name: str, part: Part) -> None:
        """Run a part for ever. One that fails begins anew, and takes neither traffic nor names down with it."""
        while True:
            try:
                await part()
            except Exception:
                logger.exception("part.failed", part=name)
            await asyncio.sleep(RETRY_S)

    async def _watch(self, client: Client) -> None:
        """Follow the API server. Nothing is believed before both services and slices are known."""
        node_name = self._config.node_name
        services = Informer(client, SERVICES, Service)
        slices = Informer(client, ENDPOINTSLICES, EndpointSlice)
        nodes = Informer(client, NODES, NodeView, field_selector=f"metadata.name={node_name}")
        async with asyncio.TaskGroup() as group:
            for informer in (services, slices, nodes):
                group.create_task(informer.run(), name=f"informer-{informer.resource.plural}")
            for informer in (services, slices, nodes):
                await informer.wait_synced()
            self.cluster.load(
                state.ClusterState(tuple(services.values()), tuple(slices.values()), nodes.get(node_name))
            )
            logger.info("cluster.synced", services=len(services.values()), slices=len(slices.values()))

            def service_changed(old: Service | None, new: Service | None) -> None:
                self.cluster.service_changed(old, new)
                self._note_change()

            def slice_changed(old: EndpointSlice | None, new: EndpointSlice | None) -> None:
                self.cluster.slice_changed(old, new)
                self._note_change()

            def node_changed(old: NodeView | None, new: NodeView | None) -> None:
                self.cluster.node_changed(new)
                self._note_change()

            services.subscribe(service_changed)
            slices.subscribe(slice_changed)
            nodes.subscribe(node_changed)
            self._note_change()

    def _note_change(self) -> None:
        if self._changed_at is None:
            self._changed_at = self._clock.monotonic()
        self._changed.set()

    async def _settle(self) -> None:
        """Carry changes to DNS, routes and workers, as soon as there are any."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            started, self._changed_at = self._changed_at, None
            while self.cluster.unsettled:
                self.cluster.work_out(SERVICES_AT_ONCE)
                self.dns.forget()
                await asyncio.sleep(0)  # thousands of services take seconds; questions are answered meanwhile
            self._kubernetes.has_synced = True
            self.dns.forget()
            rules = self.cluster.rules()
            await self._follow_routes(rules)
            changes = self.pool.apply(rules)
            self._has_rules = True
            self._unsaved.set()
            if changes:
                logger.info("rules.changed", changes=len(changes), rules=len(rules))
                await self._wait_applied()
            if started is not None:
                metrics.SYNC_SECONDS.observe(self._clock.monotonic() - started)
            await asyncio.sleep(SETTLE_PAUSE_S)

    async def _wait_applied(self) -> None:
        try:
            async with asyncio.timeout(APPLY_TIMEOUT_S):
                await self.pool.wait_applied(self.pool.serial)
        except TimeoutError:
            logger.warning("rules.not_applied", serial=self.pool.serial)

    async def _follow_routes(self, rules: Mapping[Frontend, Rule], *, again: bool = False) -> None:
        network = self._config.service_network
        wanted = {self._config.service_cidr}
        for frontend in rules:
            if frontend.address != ANY_ADDRESS and ipaddress.IPv4Address(frontend.address) not in network:
                wanted.add(frontend.address)
        try:
            await self._local.follow(wanted, again=again)
        except routes.RouteError as refused:
            logger.warning("routes.refused", why=str(refused)[:256])

    async def _repair_routes(self) -> None:
        while True:
            await asyncio.sleep(REPAIR_S)
            await self._follow_routes(self.pool.rules, again=True)

    async def _serve_dns(self) -> None:
        try:
            await self.dns.run()
        except OSError as refused:
            logger.warning("dns.not_listening", address=self._config.dns_address, why=str(refused))

    async def _serve_metrics(self) -> None:
        async with serve_health("127.0.0.1", self._config.metrics_port, metrics=True):
            await asyncio.get_running_loop().create_future()

    async def _save(self, directory: Path, blocking: BlockingCalls) -> None:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            try:
                await blocking.call(state.save, directory, self.cluster.state())
            except OSError as refused:
                logger.warning("state.not_saved", why=str(refused))
            await asyncio.sleep(SAVE_PAUSE_S)

    async def _tell_failures(self, recorder: EventRecorder) -> None:
        """An event on each service that has a port which something else holds."""
        told: set[Frontend] = set()
        while True:
            await asyncio.sleep(RETRY_S)
            failures = self.pool.failures()
            for frontend in failures.keys() - told:
                service = self.cluster.service_of(frontend)
                if service is not None:
                    recorder.event(
                        ObjectReference(
                            api_version="v1",
                            kind="Service",
                            name=service.metadata.name,
                            namespace=service.metadata.namespace,
                            uid=service.metadata.uid,
                        ),
                        type="Warning",
                        reason="PortUnavailable",
                        message=f"cannot listen on {frontend} on node {self._config.node_name!r}: {failures[frontend]}",
                    )
            told = set(failures)

    def _rules_problem(self) -> str | None:
        if not self._kubernetes.has_synced:
            return "neither the API server nor a saved state has said what services there are"
        if not self._has_rules:
            return "the first rules are not worked out yet"
        return None if self.pool.has_applied(self.pool.serial) else "a worker has not applied the newest rules"

    def _dns_problem(self) -> str | None:
        return None if self.dns.listening.is_set() else f"not listening on {self._config.dns_address}"
