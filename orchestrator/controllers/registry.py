"""All controllers, in order, and how they are run: one process, one leader, one cache per resource."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orchestrator.controllers.context import Context, ControllersConfig, Informers
from orchestrator.controllers.deployment.shell import DeploymentController
from orchestrator.controllers.endpointslice.shell import EndpointsController, EndpointSliceController
from orchestrator.controllers.endpointslice_mirroring.shell import EndpointSliceMirroringController
from orchestrator.controllers.garbage.shell import GarbageController
from orchestrator.controllers.namespace.shell import NamespaceController
from orchestrator.controllers.node_ipam.shell import NodeIpamController
from orchestrator.controllers.node_lifecycle.shell import NodeLifecycleController, TaintEvictionController
from orchestrator.controllers.pod_garbage.shell import PodGarbageController
from orchestrator.controllers.replicaset.shell import ReplicaSetController
from orchestrator.controllers.service_accounts.shell import ServiceAccountsController
from orchestrator.controllers.service_cidr.shell import ServiceCidrController
from orchestrator.controllers.statefulset.shell import StatefulSetController
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

LEASE = "wherry-controllers"


class Controller(Protocol):
    """What the registry runs. Built with a `Context`, it has subscribed to its informers; `run` never returns."""

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Registered:
    """One controller: its name, what it watches (for readers), and how it is built."""

    name: str
    watches: tuple[str, ...]
    build: Callable[[Context], Controller]


CONTROLLERS: tuple[Registered, ...] = (
    Registered("namespace", ("namespaces",), NamespaceController),
    Registered("service-accounts", ("namespaces", "serviceaccounts"), ServiceAccountsController),
    Registered("node-ipam", ("nodes",), NodeIpamController),
    Registered("service-cidr", ("servicecidrs", "ipaddresses"), ServiceCidrController),
    Registered("node-lifecycle", ("nodes", "leases", "pods"), NodeLifecycleController),
    Registered("taint-eviction", ("nodes", "pods"), TaintEvictionController),
    Registered("pod-garbage", ("nodes", "pods"), PodGarbageController),
    Registered("replicaset", ("replicasets", "pods"), ReplicaSetController),
    Registered("deployment", ("deployments", "replicasets", "pods"), DeploymentController),
    Registered("statefulset", ("statefulsets", "controllerrevisions", "pods"), StatefulSetController),
    Registered("endpointslice", ("services", "pods", "endpointslices", "nodes"), EndpointSliceController),
    Registered("endpoints", ("services", "pods", "endpoints"), EndpointsController),
    Registered(
        "endpointslice-mirroring", ("endpoints", "services", "endpointslices"), EndpointSliceMirroringController
    ),
    Registered("garbage", ("all kinds that discovery names, but events",), GarbageController),
)


async def run_all(
    client: Client,
    clock: Clock,
    config: ControllersConfig,
    controllers: tuple[Registered, ...] = CONTROLLERS,
    informers: Informers | None = None,
) -> None:
    """Run the controllers without asking whether we lead, on these informers or on their own."""
    context = Context(client=client, clock=clock, informers=informers or Informers(client), config=config)
    built = [(registered.name, registered.build(context)) for registered in controllers]
    async with asyncio.TaskGroup() as group:
        context.informers.run_in(group)
        for component, recorder in context.recorders.items():
            group.create_task(recorder.run(), name=f"events-{component}")
        for name, controller in built:
            group.create_task(controller.run(), name=f"controller-{name}")
        logger.info("controllers.started", controllers=[name for name, _ in built])
