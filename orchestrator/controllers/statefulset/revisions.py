"""The history of a StatefulSet's template: which ControllerRevision is current, which is next, which may go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.api.codec import decode
from orchestrator.api.objects import Object
from orchestrator.api.views.workloads import ControllerRevision, StatefulSet
from orchestrator.controllers.templates import same_template, short_hash

#: The label by which a pod says which revision it was made from, and a revision its own hash.
POD_REVISION = "controller-revision-hash"
REVISION_HASH = "controller.kubernetes.io/hash"


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A ControllerRevision to create."""

    name: str
    hash: str
    number: int
    data: Object


@dataclass(frozen=True, slots=True)
class Renumber:
    """A template that was used before is used again: its revision becomes the newest."""

    revision: ControllerRevision
    number: int


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revisions by name that pods are to be made from: below the partition, and above."""

    current: str
    update: str


def decide_revisions(sts: StatefulSet, revisions: Sequence[ControllerRevision]) -> Revisions | NewRevision | Renumber:
    """The revisions in force, or the write that must come first."""
    ordered = in_order(revisions)
    template = decode(bytes(sts.spec.template))
    same = [revision for revision in ordered if same_template(template_of(revision), template)]
    newest = ordered[-1].revision if ordered else 0
    if not same:
        digest = short_hash(template, collisions=sts.status.collision_count)
        # The form in which `kubectl rollout undo` applies it: a strategic merge patch of the set.
        data: Object = {"spec": {"template": {**template, "$patch": "replace"}}}
        return NewRevision(f"{sts.metadata.name}-{digest}", digest, newest + 1, data)
    update = same[-1]
    if update is not ordered[-1]:
        return Renumber(update, newest + 1)
    names = {revision.metadata.name for revision in ordered}
    current = sts.status.current_revision
    return Revisions(current if current in names else update.metadata.name, update.metadata.name)


def in_order(revisions: Sequence[ControllerRevision]) -> list[ControllerRevision]:
    """Oldest first."""
    return sorted(
        revisions,
        key=lambda revision: (revision.revision, revision.metadata.creation_timestamp, revision.metadata.name),
    )


def template_of(revision: ControllerRevision) -> Object:
    """The pod template that a revision keeps."""
    spec: Object = decode(bytes(revision.data)).get("spec") or {}
    template: Object = spec.get("template") or {}
    return {key: value for key, value in template.items() if key != "$patch"}


def expendable(
    sts: StatefulSet, revisions: Sequence[ControllerRevision], in_use: Collection[str]
) -> tuple[ControllerRevision, ...]:
    """The revisions beyond the history limit that nothing uses, oldest first."""
    limit = 10 if sts.spec.revision_history_limit is None else sts.spec.revision_history_limit
    unused = [revision for revision in in_order(revisions) if revision.metadata.name not in in_use]
    return tuple(unused[: max(len(unused) - limit, 0)])
