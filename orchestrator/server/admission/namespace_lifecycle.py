"""Nothing is created in a namespace that is not there or going away, and the cluster's own namespaces stay."""

from __future__ import annotations

from orchestrator.api.codec import decode_into
from orchestrator.api.kinds import Kind
from orchestrator.api.resources import NAMESPACES
from orchestrator.api.views.meta import ObjectMeta, View
from orchestrator.machinery.errors import NotFound
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.refusals import forbid

IMMORTAL = ("default", "kube-system", "kube-public", "kube-node-lease")
# Asking whether one may do something changes nothing, so it may be asked of any namespace.
_QUESTIONS = ("localsubjectaccessreviews",)


class _Status(View, frozen=True):
    phase: str = ""


class _Namespace(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    status: _Status = _Status()


class NamespaceLifecycle:
    """Kubernetes' plugin of this name."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.NAMESPACE | Reads.OBJECTS

    def mutate(self, request: AdmissionRequest) -> None:
        # Checked before anything else is looked at, so that the namespace is what the client hears about first.
        resource = request.kind.resource
        if (
            resource == NAMESPACES
            or not request.namespace
            or request.operation == "DELETE"
            or resource.plural in _QUESTIONS
        ):
            return
        stored = request.objects.get(NAMESPACES, "", request.namespace)
        if stored is None:
            raise NotFound(
                f'namespaces "{request.namespace}" not found', details={"name": request.namespace, "kind": "namespaces"}
            )
        if request.operation == "CREATE" and _is_terminating(decode_into(stored, _Namespace)):
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {request.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbid(
                request,
                f"unable to create new content in namespace {request.namespace} because it is being terminated",
                details={"causes": [cause]},
            )

    def validate(self, request: AdmissionRequest) -> None:
        # A deletion changes nothing, so it is only validated.
        if request.kind.resource == NAMESPACES and request.operation == "DELETE" and request.name in IMMORTAL:
            raise forbid(request, "this namespace may not be deleted")


def _is_terminating(namespace: _Namespace) -> bool:
    return namespace.metadata.deletion_timestamp is not None or namespace.status.phase == "Terminating"
