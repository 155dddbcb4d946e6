"""The agent's composition root: the only builder of the real clock, client and runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from node_agent import metrics
from node_agent.config import Config
from node_agent.images.pulls import ImagePulls
from node_agent.kubelet.certificate import NodeIdentity, ServingCertificate
from node_agent.kubelet.server import KubeletServer, tls_context
from node_agent.network import firewall
from node_agent.network.commands import NetworkRefused
from node_agent.network.pod_network import NETWORK, PodNetwork
from node_agent.network.routes import PodRoutes
from node_agent.node.describe import Health
from node_agent.node.machine import oom_score_min
from node_agent.node.registration import Identity, Registration
from node_agent.pods import labels
from node_agent.pods.context import PodContext
from node_agent.pods.facts import NodeFacts
from node_agent.pods.orphans import sweep_for_ever
from node_agent.pods.references import PodReferences
from node_agent.pods.reporting import StatusReporter
from node_agent.pods.worker import PodWorkers
from node_agent.probes.ask import Asker
from node_agent.runtime.base import ContainerRuntime, NoSuchImage, RuntimeInfo, RuntimeRefused, RuntimeUnreachable
from node_agent.runtime.docker import DockerRuntime
from node_agent.runtime.pause import PAUSE_IMAGE, pause_archive
from node_agent.runtime.watching import ContainerWatch
from node_agent.volumes import prepare
from node_agent.volumes.paths import PodPaths, pods_dir
from node_agent.volumes.tokens import PodTokens
from orchestrator.api import quantities
from orchestrator.api.resources import NODES, PODS, SERVICES
from orchestrator.api.views.agent import Node, Service
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, SystemClock
from orchestrator.machinery.credentials import follow_credentials
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.kubeconfig import ClientConfig, load_kubeconfig
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import serve_health
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.machinery.systemd import READY, notify
from orchestrator.machinery.tasks import run_together, settle_memory

logger = get_logger(__name__)

_RUNTIME_RETRY_S = 1.0
_FILE_THREADS = 4
_CERTIFICATE_LOOK_S = 3600.0


async def serve(config: Config) -> None:
    """Run the agent until cancelled. Pods go on running when it ends."""
    clock = SystemClock()
    access = load_kubeconfig(Path(config.kubeconfig))
    runtime = DockerRuntime(config.docker_host, owner=config.node_name, clock=clock)
    files = BlockingCalls("files", threads=_FILE_THREADS)
    state_dir = Path(config.state_dir)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    try:
        async with Client(access, user_agent="wherry-node-agent") as client, Asker(runtime) as asker:
            info = await _runtime_info(runtime)
            parts = Parts.build(config, clock, access, runtime, files, client, asker, info)
            await parts.run()
    finally:
        await runtime.close()
        files.close()


async def _runtime_info(runtime: ContainerRuntime) -> RuntimeInfo:
    """What the runtime says of itself, as soon as it says anything; it also gets the pause image."""
    while True:
        try:
            info = await runtime.info()
            try:
                await runtime.image(PAUSE_IMAGE)
            except NoSuchImage:
                await runtime.load_image(pause_archive(info.architecture))
        except (RuntimeUnreachable, RuntimeRefused) as lost:
            logger.warning("runtime.waiting", why=str(lost)[:256])
            await asyncio.sleep(_RUNTIME_RETRY_S)
        else:
            return info


@dataclass(slots=True, kw_only=True)
class Parts:
    """Everything that runs in an agent."""

    config: Config
    context: PodContext
    informers: tuple[Informer[Pod], Informer[Node], Informer[Service]]
    registration: Registration
    network: PodNetwork
    workers: PodWorkers
    server: KubeletServer
    client: Client
    certificate: ServingCertificate
    identity: NodeIdentity
    ca: bytes

    @classmethod
    def build(
        cls,
        config: Config,
        clock: Clock,
        access: ClientConfig,
        runtime: ContainerRuntime,
        files: BlockingCalls,
        client: Client,
        asker: Asker,
        info: RuntimeInfo,
    ) -> Parts:
        """Put the parts together; nothing runs yet."""
        pods = Informer(client, PODS, Pod, field_selector=f"spec.nodeName={config.node_name}")
        nodes = Informer(client, NODES, Node)
        services = Informer(client, SERVICES, Service)
        context = _pod_context(config, clock, runtime, files, client, asker, info, services)

        def network_ready() -> None:
            context.network_ready.set()
            registration.changed()

        network = PodNetwork(
            runtime,
            nodes,
            node_name=config.node_name,
            node_address=config.node_ip,
            cluster_cidr=config.cluster_cidr,
            ready=network_ready,
        )
        registration = Registration(
            client,
            runtime,
            clock,
            files,
            identity=_identity(config),
            info=info,
            disk=Path(config.state_dir),
            health=lambda: Health(runtime=_runtime_health(context.watch), network=_network_health(network)),
        )
        context.watch.when_up_or_down(registration.changed)
        nodes.subscribe(registration.node_changed)
        workers = PodWorkers(context, pods, node_labels=registration.labels, allocatable=registration.allocatable)
        return cls(
            config=config,
            context=context,
            informers=(pods, nodes, services),
            registration=registration,
            network=network,
            workers=workers,
            server=KubeletServer(workers, runtime, clock, files, node_name=config.node_name),
            certificate=_serving_certificate(config, client, clock, access.ca),
            client=client,
            identity=NodeIdentity(client, clock, kubeconfig=Path(config.kubeconfig), node_name=config.node_name),
            ca=access.ca,
        )

    async def run(self) -> None:
        """Run everything until cancelled, or until one part fails."""
        config, context = self.config, self.context
        pods, nodes, services = self.informers
        checks = {"runtime": lambda: _runtime_health(context.watch)}
        async with serve_health("127.0.0.1", config.health_port, checks=checks):
            settle_memory()
            notify(READY)
            await run_together(
                ("pods", pods.run),
                ("nodes", nodes.run),
                ("services", services.run),
                ("containers", context.watch.run),
                ("pulls", context.pulls.run),
                ("statuses", context.reporter.run),
                ("events", context.recorder.run),
                ("node-status", self.registration.run_status),
                ("node-lease", self._lease),
                ("network", self.network.run),
                ("workers", self._workers),
                ("orphans", lambda: sweep_for_ever(context, self.workers, pods)),
                ("kubelet-api", self._kubelet_api),
                ("identity", self.identity.run),
                ("credentials", lambda: follow_credentials(self.client, Path(config.kubeconfig))),
            )

    async def _lease(self) -> None:
        await self.registration.run_lease(every_s=self.config.lease_interval_s, duration_s=self.config.lease_duration_s)

    async def _workers(self) -> None:
        # Variables of services are fixed when a container starts, so the services must be known by then.
        await self.informers[2].wait_synced()
        await self.workers.run()

    async def _kubelet_api(self) -> None:
        """Serve the kubelet's API; without a certificate of the cluster's CA nothing is served."""
        await self.certificate.ensure()
        context = tls_context(certificate=self.certificate.certificate_path, key=self.certificate.key_path, ca=self.ca)
        # A client that leaves ends what it asked for: a log that is followed, above all.
        runner = web.AppRunner(self.server.app(), access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.config.node_ip, self.config.kubelet_port, ssl_context=context)
            await site.start()
            logger.info("kubelet.serving", address=self.config.node_ip, port=self.config.kubelet_port)
            while True:
                await asyncio.sleep(_CERTIFICATE_LOOK_S)
                if not self.certificate.is_good():
                    await self.certificate.ensure()
                    # New connections show the new certificate; those that exist go on.
                    context.load_cert_chain(self.certificate.certificate_path, self.certificate.key_path)
        finally:
            await runner.cleanup()


def _pod_context(
    config: Config,
    clock: Clock,
    runtime: ContainerRuntime,
    files: BlockingCalls,
    client: Client,
    asker: Asker,
    info: RuntimeInfo,
    services: Informer[Service],
) -> PodContext:
    """What the pods share."""
    return PodContext(
        runtime=runtime,
        watch=ContainerWatch(runtime, group_label=labels.POD_UID),
        pulls=ImagePulls(runtime, clock),
        references=PodReferences(client, services, clock),
        tokens=PodTokens(client, clock),
        reporter=StatusReporter(client, clock),
        recorder=EventRecorder(client, clock, component="kubelet", host=config.node_name),
        asker=asker,
        files=files,
        clock=clock,
        facts=node_facts(config, info),
        state_dir=Path(config.state_dir),
        network=NETWORK,
        pause_image=PAUSE_IMAGE,
        pause_archive=pause_archive(info.architecture),
    )


def _serving_certificate(config: Config, client: Client, clock: Clock, ca: bytes) -> ServingCertificate:
    return ServingCertificate(
        client,
        clock,
        directory=Path(config.state_dir) / "pki",
        node_name=config.node_name,
        address=config.node_ip,
        ca=ca,
    )


def _identity(config: Config) -> Identity:
    return Identity(
        name=config.node_name,
        address=config.node_ip,
        port=config.kubelet_port,
        pods_max=config.pods_max,
        cpu_reserved=config.cpu_reserved,
        memory_reserved=config.memory_reserved,
        labels=config.labels,
    )


def node_facts(config: Config, info: RuntimeInfo) -> NodeFacts:
    """This node as its pods see it."""
    return NodeFacts(
        name=config.node_name,
        address=config.node_ip,
        cluster_dns=config.dns_servers,
        cluster_domain=config.cluster_domain,
        cpu_milli=info.cpus * 1000,
        memory_bytes=max(0, info.memory_bytes - quantities.parse_bytes(config.memory_reserved)),
        oom_score_min=oom_score_min(),
        resolv_conf=_text_of(Path(config.resolv_conf)),
        hosts=_text_of(Path("/etc/hosts")) or "127.0.0.1\tlocalhost\n",
    )


async def clean_up(config: Config) -> None:
    """Remove this node's containers, their directories, the pod network, routes and rules. Success if all is gone."""
    runtime = DockerRuntime(config.docker_host, owner=config.node_name, clock=SystemClock())
    try:
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("containers", lambda: _remove_containers(runtime)),
            ("routes", PodRoutes(config.node_ip).remove_all),
            ("firewall", lambda: firewall.tear_down(config.cluster_cidr)),
            ("network", lambda: runtime.remove_network(NETWORK)),
        ]
        for what, step in steps:
            try:
                await step()
            except (RuntimeUnreachable, RuntimeRefused, NetworkRefused) as refused:
                logger.warning("cleanup.refused", what=what, why=str(refused)[:512])
    finally:
        await runtime.close()
    root = pods_dir(Path(config.state_dir))
    for entry in list(root.iterdir()) if root.is_dir() else []:
        prepare.remove(PodPaths(Path(config.state_dir), entry.name))


async def _remove_containers(runtime: ContainerRuntime) -> None:
    for state in await runtime.list():
        await runtime.remove(state.id)


def _runtime_health(watch: ContainerWatch) -> str | None:
    metrics.RUNTIME_UP.set(watch.why_down is None)
    return None if watch.why_down is None else f"container runtime is down: {watch.why_down}"


def _network_health(network: PodNetwork) -> str | None:
    why = network.why_not_ready
    return None if why is None else f"container runtime network not ready: {why}"


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
