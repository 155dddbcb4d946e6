"""The controllers process."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

from orchestrator import pki
from orchestrator.config import Config
from orchestrator.controllers import registry
from orchestrator.controllers.certificates.shell import CertificatesController, CertificateSettings
from orchestrator.controllers.context import ControllersConfig, Informers
from orchestrator.controllers.root_ca.shell import RootCaController
from orchestrator.machinery.certificates import Authority, Issued
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.credentials import follow_credentials
from orchestrator.machinery.leader import LeaderElection
from orchestrator.machinery.metrics import serve_health
from orchestrator.machinery.tasks import run_together, settle_memory
from orchestrator.serve.process import own_identity, wait_for_server, with_advertise_address

# The controllers that need the CA's files, which only a composition root reads. They come first: the informers are
# shared, and the garbage collector takes each with the view that it has by then.
_WITH_KEYS = (
    registry.Registered(CertificatesController.name, ("certificatesigningrequests",), CertificatesController),
    registry.Registered(RootCaController.name, ("namespaces", "configmaps"), RootCaController),
)


async def run(config: Config, clock: Clock) -> None:
    """Run all controllers while holding the lease, for ever; ends with the exception that ended it."""
    client_config = await wait_for_server(config.kubeconfig_of("controllers"))
    settings = controllers_config(with_advertise_address(config))
    async with AsyncExitStack() as stack:
        identity = stack.enter_context(own_identity(config.run_dir / "controllers.identity"))
        client = await stack.enter_async_context(Client(client_config, user_agent="wherry-controllers"))
        election = LeaderElection(client, clock, name=registry.LEASE, identity=identity)
        leader = client.fenced(election.leads)
        informers = Informers(leader)
        checks = {"informer": informers.failure, "leader": election.failure}
        await stack.enter_async_context(serve_health("127.0.0.1", config.controllers_port, checks=checks))
        settle_memory()

        async def lead() -> None:
            await registry.run_all(leader, clock, settings, (*_WITH_KEYS, *registry.CONTROLLERS), informers)

        await run_together(
            ("credentials", lambda: follow_credentials(client, config.kubeconfig_of("controllers"))),
            ("controllers", lambda: election.run(lead)),
        )


def controllers_config(config: Config) -> ControllersConfig:
    """The controllers' settings from the control plane's, with what the CA's files hold."""
    where = pki.paths(config)
    ca = where.ca_cert.read_bytes()
    server = pki.server_subject(config)
    certificates = CertificateSettings(
        authority=Authority(Issued(ca, where.ca_key.read_bytes())),
        service_cidr=config.service_cidr,
        server_addresses=frozenset(server.ip_addresses),
        server_names=frozenset(name.lower() for name in server.dns_names),
        server_node=socket.gethostname().split(".")[0].lower(),
    )
    return ControllersConfig(
        cluster_cidr=config.cluster_cidr,
        service_cidr=config.service_cidr,
        node_monitor_grace_s=config.node_monitor_grace_s,
        settings={CertificatesController.name: certificates, RootCaController.name: ca.decode()},
    )
