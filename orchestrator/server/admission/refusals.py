"""Kubernetes' words for a refusal by admission."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.machinery.errors import Forbidden
from orchestrator.server.admission.base import AdmissionRequest


def forbid(request: AdmissionRequest, why: str, *, details: Mapping[str, Any] | None = None) -> Forbidden:
    """The `Forbidden` that a plugin raises: `pods "web" is forbidden: WHY`."""
    resource = request.kind.resource
    name = named_by(request) or "Unknown"
    named = {"name": name, "group": resource.group, "kind": resource.plural, **(details or {})}
    return Forbidden(
        f"{resource.group_resource} {json.dumps(name)} is forbidden: {why}",
        details={key: value for key, value in named.items() if value},
    )


def named_by(request: AdmissionRequest) -> str:
    """The object's name: of the request, else of the body, where a creation has it; perhaps just a prefix of it."""
    metadata = (request.obj or {}).get("metadata")
    body = metadata if isinstance(metadata, dict) else {}
    return request.name or str(body.get("name") or body.get("generateName") or "")
