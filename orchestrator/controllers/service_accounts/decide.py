"""Which service accounts a namespace lacks."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.api.views.cluster import Namespace

#: The accounts that every namespace has: pods that name none run as `default`.
NAMES = ("default",)


def decide(namespace: Namespace, present: Collection[str]) -> tuple[str, ...]:
    """The names of the service accounts to create; none in a namespace that is going away."""
    if namespace.metadata.deletion_timestamp is not None or namespace.status.phase == "Terminating":
        return ()
    return tuple(name for name in NAMES if name not in present)
