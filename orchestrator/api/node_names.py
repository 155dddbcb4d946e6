"""Which names a node may have: a certificate for its name must not make it anybody else."""

from __future__ import annotations

from orchestrator.api.names import is_dns1123_subdomain


def why_not(name: str) -> str | None:
    """Why a node may not have that name, in words for people; None if it may.

    Services' names are refused in every form, because clients in the cluster know the API server by one of them.
    """
    if is_dns1123_subdomain(name):
        return "it must be a DNS name in small letters"
    labels = name.split(".")
    if labels[-1] == "localhost":
        return "every machine calls itself so"
    if name in ("kubernetes", "kubernetes.default") or (len(labels) > 2 and labels[2] == "svc"):
        return "services have such names, the API server's among them"
    return None
