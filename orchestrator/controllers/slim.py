"""What controllers keep of a pod: 150,000 of them may run, and those of one template differ in little."""

from __future__ import annotations

from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.sharing import Sharing
from orchestrator.api.views.workloads import Pod, PodIP, PodSpec, PodStatus
from orchestrator.controllers.pod_facts import DELETION_COST

#: The conditions and annotations that controllers ask pods for; who asks for another has it kept here.
CONDITIONS = ("Ready", "ContainersReady", "PodScheduled")
ANNOTATIONS = (DELETION_COST,)


def slim(pod: Pod, sharing: Sharing) -> Pod:
    """The pod without what no controller reads, sharing what it has in common with others."""
    spec, status = pod.spec, pod.status
    return Pod(
        metadata=_metadata(pod.metadata, sharing),
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
            pod_ip=status.pod_ip,
            pod_ips=tuple(one if one.ip != status.pod_ip else PodIP(ip=status.pod_ip) for one in status.pod_ips),
            conditions=sharing.value(tuple(one for one in status.conditions if one.type in CONDITIONS)),
            container_statuses=sharing.value(status.container_statuses),
        ),
    )


def _metadata(meta: ObjectMeta, sharing: Sharing) -> ObjectMeta:
    return ObjectMeta(
        name=meta.name,
        namespace=sharing.value(meta.namespace),
        uid=meta.uid,
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
