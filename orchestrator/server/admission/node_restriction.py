"""What a node may write is narrowed by the object's content, which authorization does not see."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.api.codec import decode, decode_into, encode
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS, LEASES, NODES, PODS, SERVICEACCOUNTS
from orchestrator.machinery.certificates import BadCertificate, request_facts
from orchestrator.machinery.errors import NotFound
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.refusals import forbid, named_by
from orchestrator.server.admission.service_account import MIRROR_ANNOTATION
from orchestrator.server.authorization.node import LEASE_NAMESPACE, NODE_PREFIX, node_name
from orchestrator.server.authorization.pod_references import PodReferences, references_of

SIGNERS = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")
_RESTRICTED_PREFIX = "node-restriction.kubernetes.io/"
# The labels in Kubernetes' own domains that a kubelet may set on its Node.
_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/windows-build",
    }
)
_KUBELET_LABEL_PREFIXES = ("kubelet.kubernetes.io/", "node.kubernetes.io/")


class NodeRestriction:
    """Kubernetes' plugin of this name; has nothing to say about anybody who is not a node."""

    def reads_of(self, kind: Kind) -> Reads:
        everywhere = Reads.USER | Reads.TEMPLATE | Reads.NAMESPACE | Reads.OBJECTS
        return everywhere | Reads.NAME if kind.resource in (NODES, LEASES) else everywhere

    def mutate(self, request: AdmissionRequest) -> None:
        """Nothing to fill in."""

    def validate(self, request: AdmissionRequest) -> None:
        node = node_name(request.user)
        if node is None:
            return
        resource = request.kind.resource
        if resource == PODS:
            _check_pod(node, request)
        elif resource == NODES:
            _check_node(node, request)
        elif resource == SERVICEACCOUNTS and request.subresource == "token":
            _check_token(node, request)
        elif resource == LEASES:
            _check_lease(node, request)
        elif resource == CERTIFICATESIGNINGREQUESTS and request.operation == "CREATE" and not request.subresource:
            _check_signing_request(node, request)


def _check_pod(node: str, request: AdmissionRequest) -> None:
    match request.operation, request.subresource:
        case "CREATE", "":
            _check_mirror_pod(node, request)
        case "CREATE", "eviction":
            stored = request.objects.get(PODS, request.namespace, request.name)
            if stored is not None and decode_into(stored, PodReferences).spec.node_name != node:
                raise forbid(request, f"node {_quoted(node)} can only evict pods with spec.nodeName set to itself")
        case "UPDATE", "status":
            old, new = request.old or {}, request.obj or {}
            if _spec(old).get("nodeName") != node:
                raise forbid(
                    request,
                    f"node {_quoted(node)} can only update pod status for pods with spec.nodeName set to itself",
                )
            if _labels(old) != _labels(new):
                raise forbid(request, f"node {_quoted(node)} cannot update labels through pod status")
        case "DELETE", "":
            # A deletion of something that is not there any more is answered by the deletion itself.
            if request.old is not None and _spec(request.old).get("nodeName") != node:
                raise forbid(request, f"node {_quoted(node)} can only delete pods with spec.nodeName set to itself")
        case _:
            raise forbid(request, f"unexpected operation {request.operation} on pods/{request.subresource} by a node")


def _check_token(node: str, request: AdmissionRequest) -> None:
    reference = _spec(request.obj or {}).get("boundObjectRef") or {}
    if reference.get("kind") != "Pod" or reference.get("apiVersion") != "v1" or not reference.get("name"):
        raise forbid(request, "node requested token not bound to a pod")
    if not reference.get("uid"):
        raise forbid(request, "node requested token with a pod binding without a uid")
    stored = request.objects.get(PODS, request.namespace, str(reference["name"]))
    if stored is None:
        raise forbid(request, f'pod "{reference["name"]}" not found')
    pod = decode(stored)
    if pod["metadata"]["uid"] != reference["uid"]:
        raise forbid(
            request,
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    if _spec(pod).get("nodeName") != node:
        raise forbid(request, "node requested token bound to a pod scheduled on a different node")
    _check_audience(node, pod, request)


def _check_audience(node: str, pod: Object, request: AdmissionRequest) -> None:
    """A node may have for a pod the tokens that the pod mounts, and none with which to be it elsewhere."""
    audiences = _spec(request.obj or {}).get("audiences") or [""]
    if len(audiences) > 1:
        raise forbid(request, "node may only request 0 or 1 audiences")
    sources = [
        source.get("serviceAccountToken")
        for volume in _spec(pod).get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    ]
    if all(token is None or (token.get("audience") or "") != audiences[0] for token in sources):
        raise forbid(
            request,
            f"audience {_quoted(audiences[0])} not found in pod spec volume, {NODE_PREFIX}{node} is not authorized to "
            "request tokens for this audience",
        )


def _check_mirror_pod(node: str, request: AdmissionRequest) -> None:
    pod = request.obj or {}
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if MIRROR_ANNOTATION not in annotations:
        raise forbid(
            request,
            f'pod does not have "{MIRROR_ANNOTATION}" annotation, node {_quoted(node)} can only create mirror pods',
        )
    if _spec(pod).get("nodeName") != node:
        raise forbid(request, f"node {_quoted(node)} can only create pods with spec.nodeName set to itself")
    _check_mirror_owner(node, pod, request)
    if references_of(decode_into(encode(pod), PodReferences)):
        raise forbid(request, f"node {_quoted(node)} can not create pods that reference other objects")


def _check_mirror_owner(node: str, pod: Object, request: AdmissionRequest) -> None:
    owners = (pod.get("metadata") or {}).get("ownerReferences") or []
    if len(owners) > 1:
        raise forbid(request, f"node {_quoted(node)} can only create pods with a single owner reference set to itself")
    if not owners:
        raise forbid(request, f"node {_quoted(node)} can only create pods with an owner reference set to itself")
    owner = owners[0]
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise forbid(request, f"node {_quoted(node)} can only create pods with an owner reference set to itself")
    if not owner.get("controller"):
        why = f"node {_quoted(node)} can only create pods with a controller owner reference set to itself"
        raise forbid(request, why)
    if owner.get("blockOwnerDeletion"):
        raise forbid(request, f"node {_quoted(node)} must not set blockOwnerDeletion on an owner reference")
    stored = request.objects.get(NODES, "", node)
    if stored is None:
        raise NotFound(f'nodes "{node}" not found')
    uid = decode(stored)["metadata"]["uid"]
    if owner.get("uid") != uid:
        raise forbid(request, f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}")


def _check_node(node: str, request: AdmissionRequest) -> None:
    name = named_by(request)
    if name != node:
        raise forbid(request, f"node {_quoted(node)} is not allowed to modify node {_quoted(name)}")
    if request.operation not in ("CREATE", "UPDATE"):
        return
    new, old = request.obj or {}, request.old or {}
    if request.operation == "UPDATE" and not request.subresource:
        if (_spec(new).get("taints") or []) != (_spec(old).get("taints") or []):
            raise forbid(request, f"node {_quoted(node)} is not allowed to modify taints")
        owners = "ownerReferences"
        if ((new.get("metadata") or {}).get(owners) or []) != ((old.get("metadata") or {}).get(owners) or []):
            raise forbid(request, f"node {_quoted(node)} is not allowed to modify ownerReferences")
    refused = sorted(key for key in _changed(_labels(old), _labels(new)) if not _may_label(key))
    if refused:
        verb = "set" if request.operation == "CREATE" else "modify"
        raise forbid(request, f"node {_quoted(node)} is not allowed to {verb} labels: {', '.join(refused)}")


def _check_lease(node: str, request: AdmissionRequest) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise forbid(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if named_by(request) != node:
        raise forbid(request, "can only access node lease with the same name as the requesting node")


def _check_signing_request(node: str, request: AdmissionRequest) -> None:
    spec = _spec(request.obj or {})
    if spec.get("signerName") not in SIGNERS:
        return
    try:
        subject = request_facts(base64.b64decode(str(spec.get("request", "")))).subject
    except (BadCertificate, binascii.Error) as exc:
        raise forbid(request, f"unable to parse csr: {exc}") from exc
    wanted = NODE_PREFIX + node
    if subject.common_name != wanted:
        raise forbid(
            request, f"can only create a node CSR with CN={wanted}, {_quoted(subject.common_name)} was requested"
        )


def _may_label(key: str) -> bool:
    if key.startswith(_RESTRICTED_PREFIX):
        return False
    domain = key.partition("/")[0] if "/" in key else ""
    ours = domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io"))
    return not ours or key in _KUBELET_LABELS or key.startswith(_KUBELET_LABEL_PREFIXES)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _labels(obj: Object) -> Mapping[str, Any]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _quoted(text: str) -> str:
    return json.dumps(text)
