"""What is written on containers, so that any later agent finds out everything it must know about them."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from node_agent.runtime.base import ContainerState
from orchestrator.api.numbers import parse_decimal, parse_int64
from orchestrator.api.views.pods import Container, Pod

# Kubernetes' own label names, which tools that look at containers know.
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
KIND = "io.wherry.kind"
ATTEMPT = "io.wherry.attempt"
SPEC_HASH = "io.wherry.spec-hash"
SANDBOX = "io.wherry.sandbox"
BACKOFF_S = "io.wherry.backoff-s"
GRACE_S = "io.wherry.grace-s"
MESSAGE_FILE = "io.wherry.termination-message-file"
MESSAGE_POLICY = "io.wherry.termination-message-policy"


class ContainerKind(enum.Enum):
    """What a container is to its pod."""

    PAUSE = "pause"
    INIT = "init"
    REGULAR = "regular"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One container of a pod: its state and what its labels say."""

    state: ContainerState
    pod_uid: str
    name: str
    kind: ContainerKind
    attempt: int
    sandbox_id: str
    spec_hash: str
    backoff_s: float


def read(state: ContainerState) -> Seen | None:
    """What the labels of a container say; None if they are not (completely) ours."""
    labels = state.labels
    try:
        return Seen(
            state=state,
            pod_uid=labels[POD_UID],
            name=labels[CONTAINER_NAME],
            kind=ContainerKind(labels[KIND]),
            attempt=parse_int64(labels[ATTEMPT]),
            sandbox_id=labels.get(SANDBOX, ""),
            spec_hash=labels.get(SPEC_HASH, ""),
            backoff_s=parse_decimal(labels.get(BACKOFF_S, "0")),
        )
    except (KeyError, ValueError):
        return None


def pod_labels(pod: Pod, *, container: str, kind: ContainerKind, attempt: int) -> dict[str, str]:
    """The labels that say whose container it is."""
    return {
        POD_NAME: pod.metadata.name,
        POD_NAMESPACE: pod.metadata.namespace,
        POD_UID: pod.metadata.uid,
        CONTAINER_NAME: container,
        KIND: kind.value,
        ATTEMPT: str(attempt),
        GRACE_S: str(pod.grace_s),
    }


def spec_hash(container: Container) -> str:
    """Changes when a running container must be replaced: only its image may change in place."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def container_name(pod: Pod, container: str, attempt: int) -> str:
    """The runtime's name of a container; unique, so that starting one twice fails instead."""
    meta = pod.metadata
    return f"wherry_{container}_{meta.name}_{meta.namespace}_{meta.uid}_{attempt}"


def identity(labels: Mapping[str, str]) -> tuple[str, str, str]:
    """Namespace, name and uid of the pod that a container belongs to, as far as its labels say."""
    return labels.get(POD_NAMESPACE, ""), labels.get(POD_NAME, ""), labels.get(POD_UID, "")


def grace_s(labels: Mapping[str, str]) -> float:
    """How long the container gets to stop when nobody can say any more."""
    try:
        return parse_decimal(labels.get(GRACE_S, "30"))
    except ValueError:
        return 30.0


def digest(value: object) -> str:
    """A short stable hash of any value that msgspec encodes."""
    return hashlib.sha256(msgspec.msgpack.encode(value, order="deterministic")).hexdigest()[:16]
