"""Whether this node takes a pod that was bound to it: a last look, since others may bind too; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.api import quantities
from orchestrator.api.views.pods import Pod


def refusal(
    pod: Pod, others: Iterable[Pod], *, node_labels: Mapping[str, str], allocatable: Mapping[str, str]
) -> tuple[str, str] | None:
    """Reason and message if the pod cannot run here beside `others`, which are those already taken."""
    if (unheld := _unheld(pod)) is not None:
        return unheld
    for key, value in pod.spec.node_selector.items():
        if node_labels.get(key) != value:
            message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
            return "NodeAffinity", f"Pod was rejected: {message}"
    taken = list(others)
    wanted_ports = _ports(pod)
    if wanted_ports and any(_collide(wanted_ports, _ports(other)) for other in taken):
        message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        return "NodePorts", f"Pod was rejected: {message}"
    if len(taken) + 1 > (pods_max := int(allocatable.get("pods", "110"))):
        return "OutOfpods", _too_little("pods", 1, len(taken), pods_max)
    for resource in ("cpu", "memory"):
        amount = _amount(pod, resource)
        used = sum(_amount(other, resource) for other in taken)
        capacity = _number(resource, allocatable.get(resource, "0"))
        if amount and amount + used > capacity:
            return f"OutOf{resource}", _too_little(resource, amount, used, capacity)
    return None


def _unheld(pod: Pod) -> tuple[str, str] | None:
    """What the pod insists on and this node cannot hold: the scheduler keeps such pods waiting, but others bind too."""
    spec = pod.spec
    if spec.os is not None and spec.os.name != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        return "PodLevelResourcesNotSupported", "Pod was rejected: spec.resources is not implemented by this node"
    if spec.resource_claims:
        return "PodFeatureUnsupported", "Pod was rejected: spec.resourceClaims is not implemented by this node"
    if spec.host_users is False:
        return "PodFeatureUnsupported", "Pod was rejected: spec.hostUsers=false is not implemented by this node"
    context = spec.security_context
    if context is not None and context.supplemental_groups_policy == "Strict":
        message = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return "SupplementalGroupsPolicyNotSupported", f"Pod was rejected: {message}"
    contexts = [context, *(one.security_context for one in (*spec.init_containers, *spec.containers))]
    profiles = [one.app_armor_profile for one in contexts if one is not None and one.app_armor_profile is not None]
    if any(profile.type == "Localhost" for profile in profiles):
        return "AppArmor", "Pod was rejected: Cannot enforce AppArmor: profiles of type Localhost are not implemented"
    return None


def _too_little(resource: str, requested: int, used: int, capacity: int) -> str:
    return (
        f"Pod was rejected: Node didn't have enough resource: {resource}, "
        f"requested: {requested}, used: {used}, capacity: {capacity}"
    )


def _amount(pod: Pod, resource: str) -> int:
    """What the pod requests: all containers together, or its largest init container if that is more."""

    def of(requests: Mapping[str, str | int | float], limits: Mapping[str, str | int | float]) -> int:
        return _number(resource, requests.get(resource, limits.get(resource, 0)))

    together = sum(of(one.resources.requests, one.resources.limits) for one in pod.spec.containers)
    inits = [of(one.resources.requests, one.resources.limits) for one in pod.spec.init_containers]
    return max([together, *inits])


def _number(resource: str, text: str | int | float) -> int:
    return quantities.parse_milli(text) if resource == "cpu" else quantities.parse_bytes(text)


_Port = tuple[str, int, str]


def _ports(pod: Pod) -> Sequence[_Port]:
    return [
        (port.protocol, port.container_port if pod.spec.host_network else port.host_port, port.host_ip)
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port or pod.spec.host_network
    ]


def _collide(mine: Sequence[_Port], theirs: Sequence[_Port]) -> bool:
    everywhere = ("", "0.0.0.0")
    return any(
        one[:2] == other[:2] and (one[2] == other[2] or one[2] in everywhere or other[2] in everywhere)
        for one in mine
        for other in theirs
    )
