"""Objects that wait for each other because each owns the next: where to cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.api.objects import Object
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.controllers.garbage.decide import blocks, is_waiting

#: What waits for more than this many others, one above the other, is taken for a circle: nothing real is so deep.
_LOOKED_AT_MAX = 10_000


def circle_of(start: ObjectMeta, owners_of: Callable[[ObjectMeta], Sequence[ObjectMeta]]) -> ObjectMeta | None:
    """The object to unblock if `start`, which waits, holds up itself by way of others that wait; None if it does not.

    Of all members the one with the smallest uid, so that whoever looks from wherever in it cuts at the same place. The
    search goes from dependents to owners, for an object has few of these.
    """
    came_from: dict[str, ObjectMeta] = {}
    ahead = [start]
    while ahead:
        if len(came_from) > _LOOKED_AT_MAX:
            return start
        held = ahead.pop()
        for owner in owners_of(held):
            if not is_waiting(owner) or not blocks(held, owner.uid):
                continue
            if owner.uid == start.uid:
                return min(_members(held, start, came_from), key=lambda meta: meta.uid)
            if owner.uid not in came_from:
                came_from[owner.uid] = held
                ahead.append(owner)
    return None


def _members(last: ObjectMeta, start: ObjectMeta, came_from: dict[str, ObjectMeta]) -> list[ObjectMeta]:
    members = [last]
    while members[-1].uid != start.uid:
        members.append(came_from[members[-1].uid])
    return members


def unblock_patch(meta: ObjectMeta) -> Object:
    """The strategic merge patch after which the object holds up none of its owners."""
    blocking = [
        {"uid": ref.uid, "blockOwnerDeletion": False} for ref in meta.owner_references if ref.block_owner_deletion
    ]
    return {"metadata": {"uid": meta.uid, "ownerReferences": blocking}}
