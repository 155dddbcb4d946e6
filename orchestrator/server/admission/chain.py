"""The chain of admission plugins, in Kubernetes' order: all may change the object, then all may refuse it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.server.admission.base import Admission, AdmissionRequest
from orchestrator.server.admission.certificate_subjects import CertificateSubjectRestriction
from orchestrator.server.admission.default_tolerations import DefaultTolerationSeconds
from orchestrator.server.admission.namespace_lifecycle import NamespaceLifecycle
from orchestrator.server.admission.node_restriction import NodeRestriction
from orchestrator.server.admission.priority import Priority
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.runtime_class import RuntimeClass
from orchestrator.server.admission.service_account import ServiceAccountAdmission
from orchestrator.server.admission.taint_nodes import TaintNodesByCondition

if TYPE_CHECKING:
    from orchestrator.api.kinds import Kind


class AdmissionChain:
    """Calls each link in order; the first refusal ends it."""

    def __init__(self, links: Sequence[Admission]) -> None:
        self._links = tuple(links)

    def reads_of(self, kind: Kind) -> Reads | None:
        """What the outcome for a new object of this kind may depend on; None if a link does not say."""
        found = Reads(0)
        for link in self._links:
            says = getattr(link, "reads_of", None)
            if says is None:
                return None
            found |= says(kind)
        return found

    def mutate(self, request: AdmissionRequest) -> None:
        for link in self._links:
            link.mutate(request)

    def validate(self, request: AdmissionRequest) -> None:
        for link in self._links:
            link.validate(request)


def build_admission() -> AdmissionChain:
    """The cluster's chain. LimitRanger's place is after the namespace's; ResourceQuota's is the very end."""
    return AdmissionChain(
        (
            NamespaceLifecycle(),
            ServiceAccountAdmission(),
            NodeRestriction(),
            TaintNodesByCondition(),
            Priority(),
            DefaultTolerationSeconds(),
            RuntimeClass(),
            CertificateSubjectRestriction(),
        )
    )
