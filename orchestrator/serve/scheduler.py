"""The scheduler process."""

from __future__ import annotations

from contextlib import AsyncExitStack

from orchestrator.config import Config
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.credentials import follow_credentials
from orchestrator.machinery.leader import LeaderElection
from orchestrator.machinery.metrics import serve_health
from orchestrator.machinery.tasks import run_together, settle_memory
from orchestrator.scheduler.shell import Scheduler
from orchestrator.serve.process import own_identity, wait_for_server


async def run(config: Config, clock: Clock) -> None:
    """Schedule while holding the lease, for ever; ends with the exception that ended it."""
    client_config = await wait_for_server(config.kubeconfig_of("scheduler"))
    async with AsyncExitStack() as stack:
        identity = stack.enter_context(own_identity(config.run_dir / "scheduler.identity"))
        client = await stack.enter_async_context(Client(client_config, user_agent="wherry-scheduler"))
        election = LeaderElection(client, clock, name="wherry-scheduler", identity=identity)
        scheduler = Scheduler(client.fenced(election.leads), clock)
        checks = {"informer": scheduler.failure, "leader": election.failure}
        await stack.enter_async_context(serve_health("127.0.0.1", config.scheduler_port, checks=checks))
        settle_memory()
        await run_together(
            ("credentials", lambda: follow_credentials(client, config.kubeconfig_of("scheduler"))),
            ("scheduler", lambda: election.run(scheduler.run)),
        )
