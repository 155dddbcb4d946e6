"""Turns a pod's priority class into its number. The two classes that every cluster has are the ones known here."""

from __future__ import annotations

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import PODS
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.refusals import forbid

SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class Priority:
    """Kubernetes' plugin of this name; classes as objects take their place in `_value`."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.TEMPLATE

    def mutate(self, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.kind.resource != PODS or request.subresource:
            return
        spec = (request.obj or {}).get("spec")
        if not isinstance(spec, dict):
            return  # the schema refuses it
        class_name = spec.get("priorityClassName") or ""
        if not isinstance(class_name, str):
            return
        if class_name and class_name not in SYSTEM_CLASSES:
            raise forbid(request, f"no PriorityClass with name {class_name} was found")
        value = SYSTEM_CLASSES.get(class_name, 0)
        if spec.get("priority") not in (None, value):
            raise forbid(
                request,
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        spec["priority"] = value
        if spec.get("preemptionPolicy") is None:
            spec["preemptionPolicy"] = "PreemptLowerPriority"

    def validate(self, request: AdmissionRequest) -> None:
        """Everything was checked already."""
