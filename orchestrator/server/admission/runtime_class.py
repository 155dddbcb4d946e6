"""Refuses pods that name a runtime class: there are no such objects, so none is ever found."""

from __future__ import annotations

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import PODS
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.refusals import forbid


class RuntimeClass:
    """Kubernetes' plugin of this name; looking the class up takes the refusal's place once the kind is served."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.TEMPLATE

    def mutate(self, request: AdmissionRequest) -> None:
        """A class would add its overhead and its nodes here."""

    def validate(self, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.kind.resource != PODS or request.subresource:
            return
        if name := ((request.obj or {}).get("spec") or {}).get("runtimeClassName"):
            raise forbid(request, f'pod rejected: RuntimeClass "{name}" not found')
