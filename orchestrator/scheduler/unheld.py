"""What a pod insists on and no node can hold, because nothing here implements it (`orchestrator/api/support/gaps.py`).

Such a pod waits and says so; placing it would quietly break what it was promised.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.api.views.scheduling import PodAffinity, PodView, SecurityContext

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def unheld(pod: PodView) -> tuple[str, ...]:
    """Why the pod has to wait, in words for its condition; empty for pods without such demands."""
    return tuple(_unheld(pod))


def _unheld(pod: PodView) -> Iterator[str]:
    spec = pod.spec
    if spec.affinity is not None:
        yield from _between_pods("podAffinity", spec.affinity.pod_affinity)
        yield from _between_pods("podAntiAffinity", spec.affinity.pod_anti_affinity)
    for index, constraint in enumerate(spec.topology_spread_constraints):
        if constraint.when_unsatisfiable == "DoNotSchedule":
            yield f"spec.topologySpreadConstraints[{index}].whenUnsatisfiable=DoNotSchedule is not implemented"
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        yield "spec.resources is not implemented"
    if spec.resource_claims:
        yield "spec.resourceClaims is not implemented"
    if spec.scheduling_group is not None:
        yield "spec.schedulingGroup is not implemented"
    if spec.host_users is False:
        yield "spec.hostUsers=false is not implemented"
    if spec.os is not None and spec.os.name == "windows":
        yield "spec.os.name=windows: all nodes run Linux"
    yield from _security("spec", spec.security_context)
    for field, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for index, container in enumerate(containers):
            yield from _security(f"spec.{field}[{index}]", container.security_context)
    for volume in spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield f'persistentvolumeclaim "{volume.persistent_volume_claim.claim_name}" not found'
        elif volume.ephemeral is not None:
            claim = f"{pod.metadata.name}-{volume.name}"
            yield f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{claim}"'


def _between_pods(field: str, affinity: PodAffinity | None) -> Iterator[str]:
    if affinity is not None and affinity.required:
        yield f"spec.affinity.{field}.{_REQUIRED} is not implemented"


def _security(path: str, context: SecurityContext | None) -> Iterator[str]:
    if context is None:
        return
    if context.app_armor_profile is not None and context.app_armor_profile.type == "Localhost":
        yield f"{path}.securityContext.appArmorProfile.type=Localhost is not implemented"
    if context.supplemental_groups_policy == "Strict":
        yield f"{path}.securityContext.supplementalGroupsPolicy=Strict is not implemented"
