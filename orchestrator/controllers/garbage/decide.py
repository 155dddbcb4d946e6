"""What becomes of an object because of its owners, and of its dependents because of its deletion."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.api.views.meta import ObjectMeta

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Owner(enum.Enum):
    """How an owner stands."""

    SOLID = "there, or not known to be gone"
    ABSENT = "gone"
    WAITING = "deleted in the foreground: it waits for its dependents"


@dataclass(frozen=True, slots=True)
class RemoveOwners:
    """Take these owners' references out: they are gone, while others keep the object."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object, this way."""

    propagation: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """Take the object out of its dependents' owners, then let it go."""


@dataclass(frozen=True, slots=True)
class Release:
    """Take our finalizer off: nothing holds the object up any more."""

    finalizer: str


@dataclass(frozen=True, slots=True)
class DeleteBlockers:
    """Have these dependents looked at: they must go before the object may."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unblock:
    """Have this object no longer hold its owners up: it and they wait for each other."""

    obj: ObjectMeta


Decision = RemoveOwners | Delete | Orphan | Release | DeleteBlockers | Unblock | None


def decide(
    meta: ObjectMeta,
    owners: Mapping[str, Owner],
    dependents: Sequence[ObjectMeta],
    circle: ObjectMeta | None = None,
) -> Decision:
    """The next step for one object.

    `owners` says how each of its owners stands, by uid; `dependents` are the objects that name it as an owner. `circle`
    is where to cut, if the object waits for itself by way of others (`decide_circle`).
    """
    if meta.deletion_timestamp is not None:
        return _going(meta, dependents, circle)
    if not meta.owner_references:
        return None
    uids = [reference.uid for reference in meta.owner_references]
    solid = [uid for uid in uids if owners.get(uid, Owner.SOLID) is Owner.SOLID]
    waiting = [uid for uid in uids if owners.get(uid) is Owner.WAITING]
    if solid:
        lost = tuple(uid for uid in uids if uid not in solid)
        return RemoveOwners(lost) if lost else None
    if waiting and dependents:
        # The owner waits for this object, and this object has dependents of its own: they go first, too.
        return Delete("Foreground")
    if ORPHAN in meta.finalizers:
        return Delete("Orphan")
    if FOREGROUND in meta.finalizers:
        return Delete("Foreground")
    return Delete("Background")


def _going(meta: ObjectMeta, dependents: Sequence[ObjectMeta], circle: ObjectMeta | None) -> Decision:
    if ORPHAN in meta.finalizers:
        return Orphan() if dependents else Release(ORPHAN)
    if FOREGROUND not in meta.finalizers:
        return None
    blockers = tuple(dependent.uid for dependent in dependents if blocks(dependent, meta.uid))
    if circle is not None and blockers:
        return Unblock(circle)
    return DeleteBlockers(blockers) if blockers else Release(FOREGROUND)


def blocks(dependent: ObjectMeta, owner_uid: str) -> bool:
    """Whether the owner's foreground deletion has to wait for the dependent."""
    return any(
        reference.uid == owner_uid and reference.block_owner_deletion for reference in dependent.owner_references
    )


def is_waiting(meta: ObjectMeta) -> bool:
    """Whether the object is being deleted in the foreground."""
    return meta.deletion_timestamp is not None and FOREGROUND in meta.finalizers


def wants_a_look(meta: ObjectMeta) -> bool:
    """Whether the collector holds a finalizer of an object that is being deleted."""
    return meta.deletion_timestamp is not None and (FOREGROUND in meta.finalizers or ORPHAN in meta.finalizers)
