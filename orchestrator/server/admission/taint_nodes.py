"""A new node is tainted until it reports that it is ready, so that nothing is placed on it too early."""

from __future__ import annotations

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import NODES
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.default_tolerations import NOT_READY
from orchestrator.server.admission.reads import Reads

_TAINT = {"key": NOT_READY, "effect": "NoSchedule"}


class TaintNodesByCondition:
    """Kubernetes' plugin of this name."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.TEMPLATE

    def mutate(self, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.kind.resource != NODES or request.subresource:
            return
        assert request.obj is not None
        if request.obj.get("spec") is None:
            request.obj["spec"] = {}
        spec = request.obj["spec"]
        if not isinstance(spec, dict):
            return  # the schema refuses it
        taints = spec.get("taints") or []
        if not isinstance(taints, list) or not all(isinstance(taint, dict) for taint in taints):
            return
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            spec["taints"] = [*taints, dict(_TAINT)]

    def validate(self, request: AdmissionRequest) -> None:
        """Nothing to refuse."""
