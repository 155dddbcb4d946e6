"""Views shared by every component: object metadata, references, selectors, leases."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.api.objects import namespaced_key


class View(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The base of every view: immutable, camelCase on the wire, unknown fields skipped."""


class OwnerReference(View, frozen=True):
    """`metav1.OwnerReference`."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(View, frozen=True):
    """The fields of `metav1.ObjectMeta` that components read. Timestamps stay RFC 3339 text."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for what has no namespace."""
        return namespaced_key(self.namespace, self.name)

    @property
    def revision(self) -> int:
        """The resourceVersion as the number it is; 0 where there is none."""
        return int(self.resource_version or 0)

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages the object, if one does."""
        return next((ref for ref in self.owner_references if ref.controller), None)


class MetaView(View, frozen=True):
    """Any object, seen by its metadata alone."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


class ListMeta(View, frozen=True):
    """`metav1.ListMeta`; `continue` is a Python keyword, hence the name."""

    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class ObjectReference(View, frozen=True, omit_defaults=True):
    """`v1.ObjectReference`: what an event is about, what an endpoint points at."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


class LabelSelectorRequirement(View, frozen=True):
    """One of `matchExpressions`; `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(View, frozen=True):
    """`metav1.LabelSelector`. An empty one matches everything; None, where optional, matches nothing."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether every requirement holds for `labels`."""
        for key, value in self.match_labels.items():
            if labels.get(key) != value:
                return False
        return all(_requirement_holds(requirement, labels) for requirement in self.match_expressions)


def _requirement_holds(requirement: LabelSelectorRequirement, labels: dict[str, str]) -> bool:
    match requirement.operator:
        case "In":
            return requirement.key in labels and labels[requirement.key] in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels
    raise ValueError(f"unknown operator {requirement.operator!r} in a label selector")


class Condition(View, frozen=True, omit_defaults=True):
    """A condition of any kind: type, status (True, False, Unknown), reason, message, times."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    last_update_time: str | None = None
    last_heartbeat_time: str | None = None
    observed_generation: int = 0


class LeaseSpec(View, frozen=True):
    """`coordination.k8s.io/v1 LeaseSpec`. Times are RFC 3339 with microseconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class LeaseView(View, frozen=True):
    """A lease: who holds what, until when."""

    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


def owner_reference(*, api_version: str, kind: str, meta: ObjectMeta) -> dict[str, Any]:
    """The `ownerReferences` entry that makes an object of `meta` the controller of another."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
