"""Objects that wait for each other because each owns the next: where to cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.api.objects import Object
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.controllers.garbage.decide import blocks, is_waiting

#: Objects looked at for one circle. Only those count that are deleted in the foreground and have dependents waiting
#: likewise, so real chains are short; what is longer is looked at again from another of its members.
_LOOKED_AT_MAX = 1_000


def circle_of(start: ObjectMeta, dependents_of: Callable[[ObjectMeta], Sequence[ObjectMeta]]) -> ObjectMeta | None:
    """The object to unblock if `start` waits, over others that wait, for itself; None if it does not.

    Of all members the one with the smallest uid, so that whoever looks from wherever in it cuts at the same place.
    """
    came_from: dict[str, ObjectMeta] = {}
    ahead = [start]
    while ahead and len(came_from) < _LOOKED_AT_MAX:
        waiting = ahead.pop()
        for dependent in dependents_of(waiting):
            if not is_waiting(dependent) or not blocks(dependent, waiting.uid):
                continue
            if dependent.uid == start.uid:
                return min(_members(waiting, start, came_from), key=lambda meta: meta.uid)
            if dependent.uid not in came_from:
                came_from[dependent.uid] = waiting
                ahead.append(dependent)
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
