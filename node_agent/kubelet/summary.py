"""`/stats/summary`: what the node's containers use, in the form that metrics servers read."""

from __future__ import annotations

from contextlib import suppress

from node_agent.pods.labels import Seen
from node_agent.pods.worker import PodWorkers
from node_agent.runtime.base import ContainerRuntime, NoSuchContainer, Phase, RuntimeRefused
from orchestrator.api.objects import Object
from orchestrator.machinery.clock import timestamp


async def summary(workers: PodWorkers, runtime: ContainerRuntime, *, node_name: str, now: float) -> Object:
    """The summary of all running containers, at `now`."""
    pods: list[Object] = []
    for shell in workers.shells():
        _, containers = shell.seen()
        running = [found[0] for found in containers.values() if found and found[0].state.phase is Phase.RUNNING]
        shown = [one for one in [await _container(runtime, seen, now) for seen in running] if one is not None]
        meta = shell.pod.metadata
        pods.append(
            {
                "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
                "startTime": shell.status.get("startTime"),
                "containers": shown,
            }
        )
    return {"node": {"nodeName": node_name, "startTime": timestamp(now)}, "pods": pods}


async def _container(runtime: ContainerRuntime, seen: Seen, now: float) -> Object | None:
    with suppress(NoSuchContainer, RuntimeRefused):
        usage = await runtime.usage(seen.state.id)
        return {
            "name": seen.name,
            "startTime": timestamp(seen.state.started_at),
            "cpu": {"time": timestamp(now), "usageCoreNanoSeconds": usage.cpu_nanoseconds},
            "memory": {
                "time": timestamp(now),
                "usageBytes": usage.memory_bytes,
                "workingSetBytes": usage.memory_working_set_bytes,
            },
        }
    return None
