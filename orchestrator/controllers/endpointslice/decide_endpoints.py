"""The older Endpoints object of a service: its ready and not-ready addresses, grouped by ports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.api.views.cluster import EndpointAddress, Endpoints, EndpointsPort, EndpointSubset, Service, TargetRef
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.endpointslice.decide import HEADLESS, hostname_of, is_headless, ports_of

#: Kubernetes' limit of addresses in one Endpoints object, and the annotation that says it was reached.
ADDRESSES_MAX = 1_000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


_Ports = tuple[EndpointsPort, ...]


def subsets_of(service: Service, pods: Sequence[Pod]) -> tuple[EndpointSubset, ...]:
    """All addresses, sorted, as many as one object may have."""
    anyone = service.spec.publish_not_ready_addresses
    ready: dict[_Ports, list[EndpointAddress]] = {}
    waiting: dict[_Ports, list[EndpointAddress]] = {}
    for pod, ports in _endpoints_of(service, pods)[:ADDRESSES_MAX]:
        (ready if pod.is_ready or anyone else waiting).setdefault(ports, []).append(_address(service, pod))
    groups = sorted({*ready, *waiting}, key=lambda ports: [(port.name, port.port, port.protocol) for port in ports])
    return tuple(
        EndpointSubset(
            addresses=tuple(ready.get(ports, ())), not_ready_addresses=tuple(waiting.get(ports, ())), ports=ports
        )
        for ports in groups
    )


def is_truncated(service: Service, pods: Sequence[Pod]) -> bool:
    """Whether there are more addresses than one object may have."""
    return len(_endpoints_of(service, pods)) > ADDRESSES_MAX


def _endpoints_of(service: Service, pods: Sequence[Pod]) -> list[tuple[Pod, _Ports]]:
    """Pods with their ports, ready ones first; a terminating one only where not-ready addresses are published."""
    anyone = service.spec.publish_not_ready_addresses
    found = []
    for pod in sorted(pods, key=lambda pod: (not pod.is_ready, pod.status.pod_ip, pod.metadata.uid)):
        if pod.is_finished or not pod.status.pod_ip or (pod.is_terminating and not anyone):
            continue
        ports = tuple(
            EndpointsPort(name=port.name or "", port=port.port or 0, protocol=port.protocol or "TCP")
            for port in ports_of(service, pod)
        )
        if ports or not service.spec.ports:  # else none of the service's ports exists on this pod
            found.append((pod, ports))
    return found


def labels_of(service: Service) -> dict[str, str]:
    """The labels of the Endpoints object: the service's own, and who manages it."""
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS}
    if is_headless(service):
        labels[HEADLESS] = ""
    labels[MANAGED_BY] = MANAGER
    return labels


def is_as_wanted(present: Endpoints, service: Service, subsets: Sequence[EndpointSubset]) -> bool:
    """Whether there is nothing to write."""
    return present.subsets == tuple(subsets) and present.metadata.labels == labels_of(service)


def body_of(
    service: Service, subsets: Sequence[EndpointSubset], present: Endpoints | None, *, truncated: bool = False
) -> dict[str, object]:
    """The Endpoints object to write; `truncated` says that there were more addresses than it may have."""
    annotations: dict[str, str] = {}
    metadata: dict[str, object] = {"name": service.metadata.name, "labels": labels_of(service)}
    if present is not None:
        # What others have put there is theirs: an update replaces what it does not say.
        annotations = {key: text for key, text in present.metadata.annotations.items() if key != OVER_CAPACITY}
        metadata |= {
            "resourceVersion": present.metadata.resource_version,
            "finalizers": list(present.metadata.finalizers),
            "ownerReferences": [msgspec.to_builtins(one) for one in present.metadata.owner_references],
        }
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": metadata,
        "subsets": [msgspec.to_builtins(subset) for subset in subsets],
    }


def _address(service: Service, pod: Pod) -> EndpointAddress:
    meta = pod.metadata
    return EndpointAddress(
        ip=pod.status.pod_ip,
        hostname=hostname_of(service, pod),
        node_name=pod.spec.node_name or None,
        target_ref=TargetRef(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid),
    )
