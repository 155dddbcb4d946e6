"""Builders for the node agent: pods, what is seen of them, a whole agent's pod side on a fake runtime."""

from __future__ import annotations

from typing import Any

import msgspec

from node_agent.pods import labels
from node_agent.pods.labels import ContainerKind, Seen
from node_agent.pods.observed import Observed
from node_agent.runtime.base import ContainerState, Phase
from orchestrator.api.views.pods import Pod

NOW = 1_000_000.0


def a_container(name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container of a pod's spec, in the wire's words."""
    return {"name": name, "image": "busybox:1.36", **fields}


def a_pod(
    name: str = "web",
    *,
    containers: list[dict[str, Any]] | None = None,
    deleted: bool = False,
    grace_s: int | None = None,
    status: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Pod:
    """A pod bound to node n1."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "labels": labels or {},
        "annotations": annotations or {},
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        metadata["deletionGracePeriodSeconds"] = 30 if grace_s is None else grace_s
    body = {
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": containers or [a_container()], **spec},
        "status": status or {},
    }
    return msgspec.convert(body, Pod)


def a_seen(
    name: str = "main",
    *,
    phase: Phase = Phase.RUNNING,
    kind: ContainerKind = ContainerKind.REGULAR,
    attempt: int = 0,
    exit_code: int = 0,
    ended: float = NOW,
    started: float = NOW - 5,
    backoff_s: float = 0.0,
    sandbox: str = "sandbox",
    spec: str = "",
    container_id: str = "",
    error: str = "",
    oom: bool = False,
) -> Seen:
    """A container of the pod, as it is seen."""
    state = ContainerState(
        id=container_id or f"{name}-{attempt}",
        name=f"{name}-{attempt}",
        labels={},
        phase=phase,
        image="busybox:1.36",
        image_id="sha256:1",
        exit_code=exit_code,
        error=error,
        oom_killed=oom,
        pid=1 if phase is Phase.RUNNING else 0,
        started_at=started if phase is not Phase.CREATED else 0.0,
        finished_at=ended if phase is Phase.EXITED else 0.0,
        created_at=started,
        address="10.244.0.2" if kind is ContainerKind.PAUSE and phase is Phase.RUNNING else "",
    )
    pod = a_pod(containers=[a_container(name)])
    return Seen(
        state=state,
        pod_uid="uid-web",
        name=name,
        kind=kind,
        attempt=attempt,
        sandbox_id=sandbox,
        spec_hash=spec or labels.spec_hash(pod.spec.containers[0]),
        backoff_s=backoff_s,
    )


def a_sandbox(*, phase: Phase = Phase.RUNNING, attempt: int = 0) -> Seen:
    """The pod's pause container."""
    return a_seen("POD", phase=phase, kind=ContainerKind.PAUSE, attempt=attempt, container_id="sandbox")


def an_observation(*seen: Seen, sandbox: Seen | None = None, **fields: Any) -> Observed:
    """A pod with a running sandbox, its volumes ready, and these containers (newest first)."""
    containers: dict[str, tuple[Seen, ...]] = {}
    for one in seen:
        containers[one.name] = (*containers.get(one.name, ()), one)
    given = {"now": NOW, "volumes_ready": True, "started_at": NOW - 100, **fields}
    return Observed(sandboxes=(a_sandbox() if sandbox is None else sandbox,), containers=containers, **given)
