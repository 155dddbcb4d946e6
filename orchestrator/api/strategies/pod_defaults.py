"""The defaults of pods and pod templates, as Kubernetes fills them in. All functions change their argument in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.strategies.requirements import default_requests

_GRACE_S = 30
_FILE_MODE = 0o644
_TOKEN_EXPIRATION_S = 3600
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
# The two classes every cluster has; any other is resolved by admission.
_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def default_pod(spec: Object) -> None:
    """The defaults of a pod's spec: those of a template, and those only a pod gets."""
    # The old name of the field is kept equal to the current one, whichever the client set.
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("priority") is None:
        spec["priority"] = _PRIORITIES.get(spec.get("priorityClassName", ""), 0)
    if not spec.get("preemptionPolicy"):
        spec["preemptionPolicy"] = "PreemptLowerPriority"
    default_pod_spec(spec)
    if resources := spec.get("resources"):
        default_requests(resources)
    on_host = spec.get("hostNetwork")
    for containers in (spec.get("containers"), spec.get("initContainers")):
        for container in containers or ():
            if resources := container["resources"]:
                default_requests(resources)
            if on_host:
                for port in container.get("ports") or ():
                    if not port.get("hostPort") and "containerPort" in port:
                        port["hostPort"] = port["containerPort"]


def default_template(template: Object) -> None:
    """The defaults of a pod template: it does not get what depends on the pod that is made of it."""
    spec = template.setdefault("spec", {})
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    default_pod_spec(spec)


def default_pod_spec(spec: Object) -> None:
    """What pods and templates share."""
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = _GRACE_S
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in spec.get("containers") or ():
        _default_container(container)
    for container in spec.get("initContainers") or ():
        _default_container(container)
    for container in spec.get("ephemeralContainers") or ():
        _default_container(container)


def _default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if container.get("resources") is None:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        if source := variable.get("valueFrom"):
            _default_field_source(source)
    for name in _PROBES:
        if probe := container.get(name):
            _default_probe(probe)
    if lifecycle := container.get("lifecycle"):
        for name in _HOOKS:
            if hook := lifecycle.get(name):
                _default_http_get(hook)


def pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, said or implied; `IfNotPresent` for a pinned image."""
    name, at, _ = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or at) else "IfNotPresent"


def _default_field_source(source: Object) -> None:
    if (field := source.get("fieldRef")) is not None:
        if not field.get("apiVersion"):
            field["apiVersion"] = "v1"
    elif (resource := source.get("resourceFieldRef")) is not None:
        resource.setdefault("divisor", "0")


def _default_probe(probe: Object) -> None:
    if not probe.get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    if not probe.get("periodSeconds"):
        probe["periodSeconds"] = 10
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if not probe.get("failureThreshold"):
        probe["failureThreshold"] = 3
    _default_http_get(probe)
    if (grpc := probe.get("grpc")) is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_http_get(handler: Object) -> None:
    if (http := handler.get("httpGet")) is not None:
        if not http.get("path"):
            http["path"] = "/"
        if not http.get("scheme"):
            http["scheme"] = "HTTP"


def _default_volume(volume: Object) -> None:
    named_only = True
    for kind, source in volume.items():
        if kind == "name" or source is None:
            continue
        named_only = False
        if (fill := _VOLUMES.get(kind)) is not None:
            fill(source)
    if named_only:
        volume["emptyDir"] = {}


def _default_mode(source: Object) -> None:
    if source.get("defaultMode") is None:
        source["defaultMode"] = _FILE_MODE


def _default_downward(source: Object) -> None:
    _default_mode(source)
    for item in source.get("items") or ():
        _default_field_source(item)


def _default_projected(source: Object) -> None:
    _default_mode(source)
    for part in source.get("sources") or ():
        if (token := part.get("serviceAccountToken")) is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = _TOKEN_EXPIRATION_S
        if (downward := part.get("downwardAPI")) is not None:
            for item in downward.get("items") or ():
                _default_field_source(item)


def _default_ephemeral(source: Object) -> None:
    if template := source.get("volumeClaimTemplate"):
        default_claim_spec(template.setdefault("spec", {}))


def default_claim_spec(spec: Object) -> None:
    """The defaults of a persistent volume claim's spec."""
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"


def _default_image(source: Object) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference") or "")


def _filler(**defaults: Any) -> Callable[[Object], None]:
    def fill(source: Object) -> None:
        for name, value in defaults.items():
            if source.get(name) in (None, ""):
                source[name] = value

    return fill


_VOLUMES: dict[str, Callable[[Object], None]] = {
    "secret": _default_mode,
    "configMap": _default_mode,
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "hostPath": _filler(type=""),
    "ephemeral": _default_ephemeral,
    "image": _default_image,
    "iscsi": _filler(iscsiInterface="default"),
    "rbd": _filler(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "scaleIO": _filler(storageMode="ThinProvisioned", fsType="xfs"),
    "azureDisk": _filler(cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False),
}
