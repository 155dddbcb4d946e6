"""`up` from end to end: processes, nodes that joined and are Ready, the demo answering, and what to tell the user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from orchestrator.api.resources import NODES
from orchestrator.lab import demo, joining
from orchestrator.lab.bring_up import (
    CannotStart,
    Wanted,
    provide_images,
    start_processes,
    wait_for,
    wait_for_engines,
    wait_until,
)
from orchestrator.lab.layout import DEFAULT_STATE_DIR, LabLayout
from orchestrator.lab.progress import Progress
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.kubeconfig import load_kubeconfig

CONTROL_PLANE_S = 60.0
NODES_S = 90.0
DEMO_S = 180.0
LOGS_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A cluster that is up. `changed`: something was missing before. `heard`: what the demo's client pod reports."""

    lab: LabLayout
    changed: bool
    demo: bool
    heard: tuple[str, ...] = ()
    node_ports: tuple[str, ...] = ()


async def bring_up(wanted: Wanted, progress: Progress, clock: Clock) -> Outcome:
    """Bring the cluster up, or mend it; raises `CannotStart` (alone or in a group) saying what is in the way."""
    started = await start_processes(wanted, progress, clock)
    lab = started.lab
    if started.fresh:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_engines(lab, progress, clock), name="engines")
            group.create_task(provide_images(lab, started.record, progress, clock), name="images")
            group.create_task(_wait_for_control_plane(lab, progress, clock), name="control plane")
    async with admin_client(lab) as client:
        changed = started.fresh or any(not joining.has_joined(node) for node in lab.nodes)
        if changed or not await _all_ready(client, lab):
            changed = True
            with progress.step("Nodes Ready"):
                await wait_until(
                    f"all nodes to be Ready (logs are in {lab.log_dir})",
                    lambda: _all_ready(client, lab),
                    NODES_S,
                    clock,
                )
        if not wanted.demo:
            return Outcome(lab=lab, changed=changed, demo=False)
        return await _show_demo(client, lab, changed, progress, clock)


async def _wait_for_control_plane(lab: LabLayout, progress: Progress, clock: Clock) -> None:
    """Wait until the API server answers, and let the nodes join that have not."""
    with progress.step("Control plane"):
        await wait_for(f"'{lab.admin_kubeconfig}'", lab.admin_kubeconfig.exists, CONTROL_PLANE_S, clock)
        async with admin_client(lab) as client:
            what = f"the API server at {lab.server} (its log is {lab.log_dir / 'orchestrator.log'})"
            await wait_until(what, lambda: _answers(client), CONTROL_PLANE_S, clock)
    if not all(joining.has_joined(node) for node in lab.nodes):
        with progress.step("Nodes join"):
            async with admin_client(lab) as client:
                await _join(client, lab, clock)


@asynccontextmanager
async def admin_client(lab: LabLayout) -> AsyncIterator[Client]:
    """A client of the lab's API server with an administrator's rights."""
    async with Client(load_kubeconfig(lab.admin_kubeconfig), user_agent="wherry-up") as client:
        yield client


async def _answers(client: Client) -> bool:
    try:
        await client.request("GET", "/readyz", timeout_s=2.0)
    except (ApiError, Unreachable):
        return False
    return True


async def _join(client: Client, lab: LabLayout, clock: Clock) -> None:
    token = await joining.make_token(client, now=clock.now())
    async with asyncio.TaskGroup() as group:
        for node in lab.nodes:
            if not joining.has_joined(node):
                group.create_task(asyncio.to_thread(joining.join, lab, node, token), name=f"join {node.name}")


async def _all_ready(client: Client, lab: LabLayout) -> bool:
    try:
        listing = await client.list(NODES, into=dict)
    except (ApiError, Unreachable):
        return False
    ready = {str(node["metadata"]["name"]) for node in listing.items if demo.is_ready(node | {"kind": "Pod"})}
    return {node.name for node in lab.nodes} <= ready


async def _show_demo(client: Client, lab: LabLayout, changed: bool, progress: Progress, clock: Clock) -> Outcome:
    made = await demo.create_missing(client)
    waiting = await demo.unready(client)
    if made or waiting:
        changed = True
        with progress.step("Demo"):
            try:
                await wait_until("the demo to answer", lambda: _demo_is_ready(client), DEMO_S, clock)
            except CannotStart as late:
                missing = ", ".join(await demo.unready(client))
                raise CannotStart(f"{late}; not ready: {missing} (kubectl describe says why)") from late
    # A node's certificate for serving logs may come a moment after its pods are ready.
    heard: list[str] = []

    async def something_heard() -> bool:
        heard[:] = await _heard(client)
        return bool(heard)

    await wait_until("the logs of the demo's client", something_heard, LOGS_S, clock)
    answering = await asyncio.to_thread(demo.node_port_answers, lab)
    return Outcome(lab=lab, changed=changed, demo=True, heard=tuple(heard), node_ports=answering)


async def _heard(client: Client) -> tuple[str, ...]:
    try:
        return await demo.what_the_client_hears(client)
    except (ApiError, Unreachable):
        return ()


async def _demo_is_ready(client: Client) -> bool:
    try:
        return not await demo.unready(client)
    except (ApiError, Unreachable):
        return False


def summary(outcome: Outcome) -> str:
    """What the user is told at the end: what answers, the kubeconfig, and what to try."""
    lab = outcome.lab
    lines = []
    if outcome.demo:
        lines += ["", "The demo answers, from a pod and from this machine:"]
        lines += [f"  {line}" for line in outcome.heard]
        lines += [f"  http://{address}:{demo.NODE_PORT}/ answers this machine" for address in outcome.node_ports]
    count = len(lab.nodes)
    state = "is up" if outcome.changed else "was up already; nothing to do"
    lines += ["", f"The cluster of {count} {'node' if count == 1 else 'nodes'} {state}.", ""]
    lines += [f"kubeconfig: {lab.admin_kubeconfig}", ""]
    change = "scale deployment nginx --replicas 5" if outcome.demo else "create deployment nginx --image nginx:1.16"
    lines += [
        "Try:",
        f"  export KUBECONFIG={lab.admin_kubeconfig}",
        "  kubectl get nodes,pods --output wide",
        f"  kubectl {change}",
        "  kubectl logs --follow client" if outcome.demo else "  kubectl get events --watch",
        "",
        _how_to_stop(lab),
    ]
    return "\n".join(lines)


def _how_to_stop(lab: LabLayout) -> str:
    flag = "" if str(lab.state_dir) == DEFAULT_STATE_DIR else f" --state-dir {lab.state_dir}"
    return f"Stop it with: sudo ./scripts/down{flag}"
