"""What nobody asks for any more: containers of pods that the API forgot while no agent ran, and their directories."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node_agent.pods import labels
from node_agent.pods.context import PodContext
from node_agent.pods.stopping import Stopping
from node_agent.pods.worker import PodWorkers
from node_agent.runtime.base import ContainerState, NoSuchContainer, Phase, RuntimeRefused, RuntimeUnreachable
from node_agent.volumes import prepare
from node_agent.volumes.paths import PodPaths, pods_dir
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

_SWEEP_S = 30.0
_AFTER_FIND_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What has no pod: running containers to stop first, containers to remove, pods' directories."""

    stop: Sequence[ContainerState]
    remove: Sequence[str]
    directories: Sequence[str]


def orphans(states: Collection[ContainerState], directories: Collection[str], uids: Collection[str]) -> Sweep:
    """Pick what belongs to none of the pods `uids`: containers in one go, sandboxes and directories after them."""
    mine = [state for state in states if state.labels.get(labels.POD_UID, "") not in uids]
    running = [state for state in mine if state.phase is Phase.RUNNING]
    users = [state for state in running if state.labels.get(labels.KIND) != labels.ContainerKind.PAUSE.value]
    busy = {state.labels.get(labels.POD_UID, "") for state in users}
    idle = [state for state in mine if state not in users and state.labels.get(labels.POD_UID, "") not in busy]
    left = {state.labels.get(labels.POD_UID, "") for state in mine}
    return Sweep(
        stop=tuple(sorted(users, key=lambda state: state.id)),
        remove=tuple(sorted(state.id for state in idle)),
        directories=tuple(sorted(name for name in directories if name not in uids and name not in left)),
    )


async def sweep_for_ever(context: PodContext, workers: PodWorkers, pods: Informer[Pod]) -> None:
    """Look for orphans every now and then, once it is known for sure which pods there are."""
    await pods.wait_synced()
    while True:
        await context.watch.wait_synced()
        found_some = False
        try:
            found_some = await _sweep(context, workers, pods)
        except* (RuntimeUnreachable, RuntimeRefused) as lost:
            logger.info("orphans.later", why=str(lost.exceptions[0])[:256])
        await asyncio.sleep(_AFTER_FIND_S if found_some else _SWEEP_S)


async def _sweep(context: PodContext, workers: PodWorkers, pods: Informer[Pod]) -> bool:
    """Take one step; says whether there was anything to do, and so perhaps more."""
    uids = workers.uids | {pod.metadata.uid for pod in pods.values()} | pods.undecodable_uids
    root = pods_dir(context.state_dir)
    directories = [entry.name for entry in root.iterdir()] if root.is_dir() else []
    found = orphans(context.watch.states(), directories, uids)
    async with asyncio.TaskGroup() as group:
        for state in found.stop:
            group.create_task(_stop(context, state), name=f"orphan-{state.name}")
        for container_id in found.remove:
            group.create_task(_remove(context, container_id), name=f"orphan-{container_id[:12]}")
    for uid in found.directories:
        logger.info("orphans.directory", uid=uid)
        await context.files.call(prepare.remove, PodPaths(context.state_dir, uid))
    return bool(found.stop or found.remove or found.directories)


async def _stop(context: PodContext, state: ContainerState) -> None:
    namespace, name, uid = labels.identity(state.labels)
    logger.info("orphans.container", pod=f"{namespace}/{name}", uid=uid, container=state.name)
    grace_s = labels.grace_s(state.labels)
    stopping = Stopping(context.runtime, context.watch, context.clock, container_id=state.id, grace_s=grace_s)
    # Its spec is gone with its pod, so there is no hook to run.
    await stopping.run(None, context.asker, "", lambda *_: None)
    await _remove(context, state.id)


async def _remove(context: PodContext, container_id: str) -> None:
    try:
        await context.runtime.remove(container_id)
    except NoSuchContainer:
        logger.debug("orphans.gone", container=container_id)
    context.watch.forget(container_id)
