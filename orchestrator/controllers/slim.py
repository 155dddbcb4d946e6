"""What controllers keep of pods and endpoints: 150,000 may run, those of one template differ in little, and an endpoint
says again what its pod says.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator.api.objects import namespaced_key
from orchestrator.api.views.cluster import Endpoint, EndpointAddress, Endpoints, EndpointSlice, TargetRef
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.sharing import Sharing
from orchestrator.api.views.workloads import Pod, PodSpec, PodStatus
from orchestrator.controllers.pod_facts import DELETION_COST

#: The pod of a key, as it is cached.
Pods = Callable[[str], Pod | None]

#: The conditions and annotations that controllers ask pods for; who asks for another has it kept here.
CONDITIONS = ("Ready", "ContainersReady", "PodScheduled")
ANNOTATIONS = (DELETION_COST,)


def slim(pod: Pod, sharing: Sharing, before: Pod | None = None) -> Pod:
    """The pod without what no controller reads, sharing what it has in common with others, and with itself `before`."""
    spec, status = pod.spec, pod.status
    address = status.pod_ip
    if before is not None and before.status.pod_ip == address:
        address = before.status.pod_ip
    return Pod(
        metadata=_metadata(pod.metadata, sharing, before.metadata if before is not None else None),
        spec=PodSpec(
            node_name=sharing.value(spec.node_name),
            hostname=spec.hostname,
            subdomain=sharing.value(spec.subdomain),
            containers=sharing.value(spec.containers),
            init_containers=sharing.value(spec.init_containers),
            tolerations=sharing.value(spec.tolerations),
        ),
        status=PodStatus(
            phase=sharing.value(status.phase),
            pod_ip=address,
            conditions=sharing.value(tuple(one for one in status.conditions if one.type in CONDITIONS)),
            container_statuses=sharing.value(status.container_statuses),
        ),
    )


def slim_slice(whole: EndpointSlice, sharing: Sharing, pods: Pods) -> EndpointSlice:
    """The slice, its endpoints sharing with each other and with their pods."""
    return msgspec.structs.replace(whole, endpoints=tuple(_endpoint(one, sharing, pods) for one in whole.endpoints))


def slim_endpoints(whole: Endpoints, sharing: Sharing, pods: Pods) -> Endpoints:
    """The Endpoints, their addresses sharing with each other and with their pods."""
    subsets = tuple(
        msgspec.structs.replace(
            subset,
            addresses=tuple(_address(one, sharing, pods) for one in subset.addresses),
            not_ready_addresses=tuple(_address(one, sharing, pods) for one in subset.not_ready_addresses),
        )
        for subset in whole.subsets
    )
    return msgspec.structs.replace(whole, subsets=subsets)


def _endpoint(one: Endpoint, sharing: Sharing, pods: Pods) -> Endpoint:
    pod = _pod_of(one.target_ref, pods)
    return Endpoint(
        addresses=(pod.status.pod_ip,) if pod is not None and one.addresses == (pod.status.pod_ip,) else one.addresses,
        conditions=sharing.value(one.conditions),
        hostname=one.hostname,
        target_ref=_reference(one.target_ref, pod, sharing),
        node_name=sharing.value(one.node_name),
        zone=sharing.value(one.zone),
    )


def _address(one: EndpointAddress, sharing: Sharing, pods: Pods) -> EndpointAddress:
    pod = _pod_of(one.target_ref, pods)
    return EndpointAddress(
        ip=pod.status.pod_ip if pod is not None and one.ip == pod.status.pod_ip else one.ip,
        hostname=one.hostname,
        node_name=sharing.value(one.node_name),
        target_ref=_reference(one.target_ref, pod, sharing),
    )


def _pod_of(reference: TargetRef | None, pods: Pods) -> Pod | None:
    if reference is None or reference.kind != "Pod":
        return None
    pod = pods(namespaced_key(reference.namespace, reference.name))
    return pod if pod is not None and pod.metadata.uid == reference.uid else None


def _reference(reference: TargetRef | None, pod: Pod | None, sharing: Sharing) -> TargetRef | None:
    if reference is None or pod is None:
        return reference
    meta = pod.metadata
    return TargetRef(kind=sharing.value(reference.kind), namespace=meta.namespace, name=meta.name, uid=meta.uid)


def _metadata(meta: ObjectMeta, sharing: Sharing, before: ObjectMeta | None) -> ObjectMeta:
    same = before if before is not None and before.uid == meta.uid else meta
    return ObjectMeta(
        name=same.name,
        namespace=sharing.value(meta.namespace),
        uid=same.uid,
        resource_version=meta.resource_version,
        generation=meta.generation,
        creation_timestamp=sharing.value(meta.creation_timestamp),
        deletion_timestamp=meta.deletion_timestamp,
        deletion_grace_period_seconds=meta.deletion_grace_period_seconds,
        labels=sharing.mapping(meta.labels),
        annotations=sharing.mapping({key: meta.annotations[key] for key in ANNOTATIONS if key in meta.annotations}),
        owner_references=sharing.value(meta.owner_references),
        finalizers=sharing.value(meta.finalizers),
    )
