"""Whether a namespace's copy of the cluster's CA has to be written."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from orchestrator.api.views.cluster import Namespace

NAME = "kube-root-ca.crt"
KEY = "ca.crt"


class Step(Enum):
    """What to do about one namespace."""

    NOTHING = "nothing"
    CREATE = "create"
    CORRECT = "correct"


def decide(namespace: Namespace, present: Mapping[str, str] | None, ca: str) -> Step:
    """`present` is the ConfigMap's data, None if there is none."""
    if namespace.metadata.deletion_timestamp is not None or namespace.status.phase == "Terminating":
        return Step.NOTHING
    if present is None:
        return Step.CREATE
    return Step.NOTHING if dict(present) == {KEY: ca} else Step.CORRECT
