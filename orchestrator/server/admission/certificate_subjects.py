"""Nobody gets a certificate of the administrators' group by request: nothing could take it back before its end."""

from __future__ import annotations

import base64
import binascii

from orchestrator.api.kinds import Kind
from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS
from orchestrator.machinery.certificates import BadCertificate, request_facts
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.refusals import forbid
from orchestrator.server.authentication.base import MASTERS

_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateSubjectRestriction:
    """Kubernetes' plugin of this name."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.TEMPLATE

    def mutate(self, request: AdmissionRequest) -> None:
        """Nothing to fill in."""

    def validate(self, request: AdmissionRequest) -> None:
        is_new = request.operation == "CREATE" and not request.subresource
        if not is_new or request.kind.resource != CERTIFICATESIGNINGREQUESTS or request.obj is None:
            return
        spec = request.obj.get("spec") or {}
        if spec.get("signerName") != _SIGNER:
            return
        try:
            subject = request_facts(base64.b64decode(str(spec.get("request", "")))).subject
        except (BadCertificate, binascii.Error) as exc:
            raise forbid(request, f"failed to parse CSR: {exc}") from exc
        if MASTERS in subject.organizations:
            raise forbid(request, f"use of {_SIGNER} signer with {MASTERS} group is not allowed")
