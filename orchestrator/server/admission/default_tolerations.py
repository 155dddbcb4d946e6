"""Pods stay for five minutes on a node that is not ready or out of reach, unless they say otherwise."""

from __future__ import annotations

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import PODS
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_SECONDS = 300


class DefaultTolerationSeconds:
    """Kubernetes' plugin of this name."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.TEMPLATE

    def mutate(self, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.kind.resource != PODS or request.subresource:
            return
        spec = (request.obj or {}).get("spec")
        if not isinstance(spec, dict):
            return  # the schema refuses it
        tolerations = spec.get("tolerations") or []
        if not isinstance(tolerations, list) or not all(isinstance(item, dict) for item in tolerations):
            return
        missing = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}
            for key in (NOT_READY, UNREACHABLE)
            if not any(_tolerates(toleration, key) for toleration in tolerations)
        ]
        if missing:
            spec["tolerations"] = [*tolerations, *missing]

    def validate(self, request: AdmissionRequest) -> None:
        """Nothing to refuse."""


def _tolerates(toleration: dict[str, object], key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)
