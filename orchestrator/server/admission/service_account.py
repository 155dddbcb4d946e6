"""Every pod runs as a service account, and finds its token, the cluster's CA and its namespace in a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.api.codec import decode
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS, SERVICEACCOUNTS
from orchestrator.server.admission.base import AdmissionRequest
from orchestrator.server.admission.reads import Reads
from orchestrator.server.admission.refusals import forbid

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
VOLUME_PREFIX = "kube-api-access-"
ROOT_CA_CONFIGMAP = "kube-root-ca.crt"
_DEFAULT_ACCOUNT = "default"
# An hour and seven seconds, as in Kubernetes, whose API server recognises this number.
_TOKEN_LIFETIME_S = 3607


class ServiceAccountAdmission:
    """Kubernetes' plugin of this name, for the creation of pods."""

    def reads_of(self, kind: Kind) -> Reads:
        return Reads.TEMPLATE | Reads.NAMESPACE | Reads.OBJECTS | Reads.DICE

    def mutate(self, request: AdmissionRequest) -> None:
        if not _creates_pod(request) or request.obj is None:
            return
        pod = request.obj
        spec = pod.get("spec")
        # A mirror pod is what a node runs already. What has a wrong shape is left for the schema to refuse.
        if not isinstance(spec, dict) or not _has_the_shape(spec) or _is_mirror(pod):
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or _DEFAULT_ACCOUNT
        if not isinstance(name, str):
            return
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = _account(request, name)
        if _wants_token(spec, account):
            mount_token(spec, VOLUME_PREFIX + request.dice.volume_suffix())
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]

    def validate(self, request: AdmissionRequest) -> None:
        if not _creates_pod(request) or request.obj is None or not _is_mirror(request.obj):
            return
        spec = request.obj["spec"]
        if spec.get("serviceAccountName"):
            raise forbid(request, "a mirror pod may not reference service accounts")
        for volume in spec.get("volumes") or ():
            if volume.get("secret") is not None:
                raise forbid(request, "a mirror pod may not reference secrets")


def _account(request: AdmissionRequest, name: str) -> Object:
    stored = request.objects.get(SERVICEACCOUNTS, request.namespace, name)
    if stored is not None:
        return decode(stored)
    if name == _DEFAULT_ACCOUNT:
        # A controller gives each namespace this account a moment after it was made; a pod that is created in that
        # moment only has to wait for its token on the node.
        return {}
    raise forbid(
        request,
        f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found',
    )


def mount_token(spec: Object, volume_name: str) -> None:
    """Add the token's volume to the pod's spec, and a mount to every container that has none at that path."""
    volumes = spec.get("volumes") or []
    present = next((v["name"] for v in volumes if str(v.get("name", "")).startswith(VOLUME_PREFIX)), None)
    mounted = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            mount = {"name": present or volume_name, "readOnly": True, "mountPath": MOUNT_PATH}
            container["volumeMounts"] = [*mounts, mount]
            mounted = True
    if mounted and present is None:
        spec["volumes"] = [*volumes, _token_volume(volume_name)]


def _token_volume(name: str) -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _TOKEN_LIFETIME_S, "path": "token"}},
                {"configMap": {"name": ROOT_CA_CONFIGMAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
        },
    }


def _creates_pod(request: AdmissionRequest) -> bool:
    return request.operation == "CREATE" and request.kind.resource == PODS and not request.subresource


def _is_mirror(pod: Object) -> bool:
    metadata = pod.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and MIRROR_ANNOTATION in annotations


def _has_the_shape(spec: Object) -> bool:
    containers = [*_items(spec, "initContainers"), *_items(spec, "containers")]
    mounts = [mount for container in containers for mount in _items(container, "volumeMounts")]
    return all(isinstance(item, dict) for item in (*containers, *mounts, *_items(spec, "volumes")))


def _items(holder: Any, field: str) -> Sequence[Any]:
    """The list in a field, empty for none; something that no item of a right shape equals, for what is no list."""
    value = holder.get(field) if isinstance(holder, dict) else None
    return () if value is None else value if isinstance(value, list) else (None,)


def _wants_token(spec: Object, account: Object) -> bool:
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True
