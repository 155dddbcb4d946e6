"""What a namespace's deletion waits for, as its conditions say it, and when it may end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from orchestrator.api.resources import PODS, Resource
from orchestrator.api.views.cluster import Namespace
from orchestrator.api.views.meta import Condition, MetaView
from orchestrator.controllers.conditions import with_condition
from orchestrator.controllers.moments import seconds_of, text_of

FINALIZER = "kubernetes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one pass over the namespace's content met; `remaining` names only resources of which something is left."""

    remaining: Mapping[Resource, Sequence[MetaView]] = field(default_factory=dict)
    discovery_error: str = ""
    deletion_errors: Sequence[str] = ()


def is_ours(namespace: Namespace) -> bool:
    """Whether the namespace is being deleted and waits for us to empty it."""
    return namespace.metadata.deletion_timestamp is not None and FINALIZER in namespace.spec.finalizers


def with_content(found: Found, resource: Resource, namespace: str, items: Sequence[MetaView], *, now: float) -> Found:
    """`found`, and what is left of a resource after all of it was deleted.

    What neither has a finalizer nor is a pod within its grace should not be there, and its being there is an error.
    """
    if not items:
        return found
    remaining = {**found.remaining, resource: items}
    is_ending = resource == PODS and any(seconds_of(item.metadata.deletion_timestamp) > now for item in items)
    if is_ending or any(item.metadata.finalizers for item in items):
        return replace(found, remaining=remaining)
    text = f"unexpected items still remain in namespace: {namespace} for gvr: {_shown(resource)}"
    return with_error(replace(found, remaining=remaining), resource, namespace, text)


def with_error(found: Found, resource: Resource, namespace: str, text: str) -> Found:
    """`found`, and that a resource could not be emptied."""
    if resource == PODS:
        text = f"failed to delete pods for namespace: {namespace}, err: {text}"
    return replace(found, deletion_errors=(*found.deletion_errors, text))


def _shown(resource: Resource) -> str:
    return f"{resource.api_version if resource.group else '/v1'}, Resource={resource.plural}"


def may_finalize(found: Found) -> bool:
    """Whether nothing is left, and we are sure of it."""
    return not found.discovery_error and not found.deletion_errors and not any(found.remaining.values())


def conditions_of(namespace: Namespace, found: Found, now: float) -> tuple[Condition, ...]:
    """The namespace's conditions after a pass, in Kubernetes' words."""
    conditions = namespace.status.conditions
    for condition in _verdicts(found):
        conditions = with_condition(conditions, msgspec.structs.replace(condition, last_transition_time=text_of(now)))
    return conditions


def _verdicts(found: Found) -> tuple[Condition, ...]:
    counts = {resource: len(items) for resource, items in found.remaining.items() if items}
    finalizers: dict[str, int] = {}
    for items in found.remaining.values():
        for item in items:
            for finalizer in item.metadata.finalizers:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1

    content = "All content successfully removed"
    if counts:
        listed = ", ".join(
            f"{resource.plural}.{resource.group} has {count} resource instances"
            for resource, count in sorted(counts.items(), key=lambda entry: entry[0].group_resource)
        )
        content = f"Some resources are remaining: {listed}"
    held = "All content-preserving finalizers finished"
    if finalizers:
        listed = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        held = f"Some content in the namespace has finalizers remaining: {listed}"
    errors = ", ".join(sorted(found.deletion_errors))
    return (
        _verdict(
            "NamespaceDeletionDiscoveryFailure",
            bool(found.discovery_error),
            ("DiscoveryFailed", f"Discovery failed for some groups: {found.discovery_error}"),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        _verdict(
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            ("GroupVersionParsingFailed", ""),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        _verdict(
            "NamespaceDeletionContentFailure",
            bool(errors),
            (
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {len(found.deletion_errors)} remaining: {errors}",
            ),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        _verdict(
            "NamespaceContentRemaining", bool(counts), ("SomeResourcesRemain", content), ("ContentRemoved", content)
        ),
        _verdict(
            "NamespaceFinalizersRemaining",
            bool(finalizers),
            ("SomeFinalizersRemain", held),
            ("ContentHasNoFinalizers", held),
        ),
    )


def _verdict(type_: str, holds: bool, if_true: tuple[str, str], if_false: tuple[str, str]) -> Condition:
    reason, message = if_true if holds else if_false
    return Condition(type=type_, status="True" if holds else "False", reason=reason, message=message)
