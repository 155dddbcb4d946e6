"""The one name for a whole, decoded Kubernetes object, and the accessors every user of it needs."""

from __future__ import annotations

from typing import Any

# Only the API server's side handles whole objects; whatever decides takes views (see `orchestrator.api.views`).
Object = dict[str, Any]


def namespaced_key(namespace: str, name: str) -> str:
    """Join to `namespace/name`, or to `name` alone where there is no namespace: the key of every queue and cache."""
    return f"{namespace}/{name}" if namespace else name
