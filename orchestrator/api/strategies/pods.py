"""Pods: what a client may set, defaults, rules, selectable fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from orchestrator.api import codec, names
from orchestrator.api.doors import Act
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, forbidden, not_supported, required
from orchestrator.api.strategies.base import Strategy
from orchestrator.api.strategies.metadata import validate_object_meta
from orchestrator.api.strategies.pod_defaults import default_pod
from orchestrator.api.strategies.pod_spec import validate_pod_annotations, validate_pod_spec
from orchestrator.api.strategies.pod_updates import (
    validate_annotation_change,
    validate_ephemeral_containers_change,
    validate_pod_change,
    validate_pod_status,
)
from orchestrator.api.strategies.pod_warnings import pod_warnings
from orchestrator.api.strategies.qos import qos_class
from orchestrator.api.strategies.rules import is_subdomain

__all__ = [
    "PODS_STRATEGY",
    "Binding",
    "node_of",
    "qos_class",
    "validate_ephemeral_containers_update",
]


class _Pods(Strategy):
    graceful = True
    knows_plain_names = True

    def is_plain_name(self, name: str) -> bool:
        return not names.is_dns1123_label(name)

    def prepare_create(self, obj: Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        status: Object = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]
        obj["status"] = status

    def prepare_update(self, obj: Object, old: Object) -> None:
        obj["status"] = old.get("status") or {}
        spec = obj.setdefault("spec", {})
        # Ephemeral containers change only through their own subresource.
        if (debugging := (old.get("spec") or {}).get("ephemeralContainers")) is None:
            spec.pop("ephemeralContainers", None)
        else:
            spec["ephemeralContainers"] = debugging

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        obj["spec"] = old.get("spec") or {}
        status = obj.setdefault("status", {})
        # The class follows from the spec, so a writer that leaves it out keeps it.
        if not status.get("qosClass") and (kept := (old.get("status") or {}).get("qosClass")):
            status["qosClass"] = kept
        if (addresses := status.get("podIPs")) and not status.get("podIP"):
            status["podIP"] = addresses[0].get("ip") or ""
        elif (address := status.get("podIP")) and (not addresses or addresses[0].get("ip") != address):
            status["podIPs"] = [{"ip": address}]

    def default(self, obj: Object) -> None:
        default_pod(obj.setdefault("spec", {}))

    def validate_create(self, obj: Object) -> Sequence[Problem]:
        problems = _validate(obj, None)
        spec = obj["spec"]
        if spec.get("ephemeralContainers"):
            problems.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            words = "cannot be set until all schedulingGates have been cleared"
            problems.append(forbidden("spec.nodeName", words))
        return problems

    def validate_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        return [*_validate(obj, old), *validate_pod_change(obj, old)]

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        problems = validate_object_meta(obj, namespaced=True, name_rule=is_subdomain, old=old)
        return [*problems, *validate_annotation_change(obj, old), *validate_pod_status(obj, old)]

    def grace_seconds(self, obj: Object, requested: int | None) -> int:
        """None for a pod that is on no node or has ended."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
            return 0
        period: int = requested if requested is not None else spec.get("terminationGracePeriodSeconds") or 0
        # A negative period means what one second does: stop now, but tell the kubelet.
        return period if period >= 0 else 1

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": status.get("podIP") or "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        if old is not None:
            return ()  # pods are updated by machines, and were warned about when they were created
        meta = obj.get("metadata") or {}
        warnings: list[str] = []
        if messages := names.is_dns1123_label(meta.get("name", "")):
            warnings.append(
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
                f"a DNS label is recommended: [{' '.join(messages)}]"
            )
        return warnings + pod_warnings(obj.get("spec") or {}, meta, "")


def _validate(obj: Object, old: Object | None) -> list[Problem]:
    problems = validate_object_meta(obj, namespaced=True, name_rule=is_subdomain, old=old)
    spec = obj["spec"]
    if annotations := (obj.get("metadata") or {}).get("annotations"):
        problems += validate_pod_annotations(annotations, spec, "metadata.annotations")
    problems += validate_pod_spec(spec, "spec", is_pod=True)
    if not spec.get("serviceAccountName"):
        words = "must not be specified when serviceAccountName is not set"
        problems += [
            forbidden(f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken", words)
            for i, volume in enumerate(spec.get("volumes") or ())
            for j, source in enumerate((volume.get("projected") or {}).get("sources") or ())
            if source.get("serviceAccountToken") is not None
        ]
    return problems


def validate_ephemeral_containers_update(obj: Object, old: Object) -> Sequence[Problem]:
    """The rules of an update through the `ephemeralcontainers` subresource."""
    return [*_validate(obj, old), *validate_ephemeral_containers_change(obj, old)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Act):
    """`/binding`: the scheduler's decision, written once, with what it means for the pod's conditions."""

    name: str = "binding"
    kind: str = "Binding"
    version: str = "v1"

    def validate_body(self, body: Object) -> Sequence[Problem]:
        target = body.get("target") or {}
        problems: list[Problem] = []
        if target.get("kind") not in (None, "", "Node"):
            problems.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
        if not target.get("name"):
            problems.append(required("target.name"))
        return problems

    def refusal(self, obj: Object, body: Object) -> str:
        meta, spec = obj["metadata"], obj["spec"]
        name = meta["name"]
        if meta.get("deletionTimestamp"):
            return f"pod {name} is being deleted, cannot be assigned to a host"
        if spec.get("nodeName"):
            return f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        if spec.get("schedulingGates"):
            return f"pod {name} has non-empty .spec.schedulingGates"
        return ""

    def apply(self, obj: Object, body: Object, now: str) -> None:
        meta = obj["metadata"]
        obj["spec"]["nodeName"] = body["target"]["name"]
        if annotations := body["metadata"].get("annotations"):
            meta["annotations"] = {**(meta.get("annotations") or {}), **annotations}
        status = obj.setdefault("status", {})
        others = [one for one in status.get("conditions") or [] if one.get("type") != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        status["conditions"] = [*others, scheduled]


class _PodSpec(msgspec.Struct, rename="camel", gc=False):
    node_name: str = ""


class _PodNode(msgspec.Struct, gc=False):
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)


def node_of(value: bytes) -> str:
    """The `spec.nodeName` of a stored pod."""
    if b'"nodeName"' not in value:
        return ""  # as most pods are when they are created: nothing to decode
    return codec.decode_into(value, _PodNode).spec.node_name


PODS_STRATEGY = _Pods()
