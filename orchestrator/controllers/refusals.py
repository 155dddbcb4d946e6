"""What controllers read from a refusal."""

from __future__ import annotations

from orchestrator.machinery.errors import ApiError


def namespace_is_going(error: ApiError) -> bool:
    """Whether a create was refused because its namespace is being deleted: then nothing is wrong, and nothing to do."""
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
