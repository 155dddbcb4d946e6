"""What a deletion does to an object: remove it, mark it and let others finish, or nothing new. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.numbers import INT32_MAX
from orchestrator.api.objects import Object
from orchestrator.machinery.clock import parse_timestamp, timestamp
from orchestrator.server import refusals
from orchestrator.server.writing.options import DeleteOptions

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"


# Longer than anything runs, and within what every client's durations hold.
_GRACE_S_MAX = INT32_MAX


@dataclass(frozen=True, slots=True)
class Remove:
    """Nothing is waited for: delete it now."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Write this: marked as being deleted, with the finalizers that the propagation policy wants."""

    obj: Object


@dataclass(frozen=True, slots=True)
class Nothing:
    """It is being deleted already, and this request changes nothing about how."""


Deletion = Remove | Mark | Nothing


def check_preconditions(kind: Kind, obj: Object, options: DeleteOptions) -> None:
    """Raises `Conflict` if the object is not the one that was meant."""
    meta = obj["metadata"]
    for asked, field, words, end in (
        (options.uid, "uid", "UID", "deleted and then recreated"),
        (options.resource_version, "resourceVersion", "ResourceVersion", "modified"),
    ):
        if asked and asked != meta.get(field):
            why = (
                f"the {words} in the precondition ({asked}) does not match the {words} in record "
                f"({meta.get(field, '')}). The object might have been {end}"
            )
            raise refusals.conflict_of_kind(kind.resource, meta["name"], why)


def decide(kind: Kind, old: Object, options: DeleteOptions, *, now: float) -> Deletion:
    """What this deletion does, as Kubernetes' `BeforeDelete` and garbage collection policies have it."""
    obj = codec.copied(old)
    meta = obj["metadata"]
    finalizers = _finalizers(meta.get("finalizers") or [], options.propagation if kind.strategy.collected else "")
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    grace_s = min(kind.strategy.grace_seconds(obj, options.grace_s), _GRACE_S_MAX)
    waits = bool(finalizers) or kind.strategy.is_held(obj)
    if meta.get("deletionTimestamp"):
        current = meta.get("deletionGracePeriodSeconds") or 0
        if kind.strategy.graceful and options.grace_s is not None and grace_s < current:
            meta["deletionTimestamp"] = timestamp(_began(meta["deletionTimestamp"], current, now) + grace_s)
            meta["deletionGracePeriodSeconds"] = grace_s
        if not waits and not meta.get("deletionGracePeriodSeconds"):
            return Remove()
        return Nothing() if meta == old["metadata"] else Mark(obj)
    if not waits and grace_s == 0:
        return Remove()
    meta["deletionTimestamp"] = timestamp(now + grace_s)
    meta["deletionGracePeriodSeconds"] = grace_s
    if meta.get("generation"):
        meta["generation"] += 1
    kind.strategy.mark_deleted(obj)
    return Mark(obj)


def _began(ends: str, grace_s: int, now: float) -> float:
    try:
        return parse_timestamp(ends) - grace_s
    except ValueError:
        return now  # a time that nobody can read is none to wait for


def _finalizers(present: list[str], propagation: str) -> list[str]:
    if not propagation:
        return present
    kept = [one for one in present if one not in (_ORPHAN, _FOREGROUND)]
    match propagation:
        case "Orphan":
            return [*kept, _ORPHAN]
        case "Foreground":
            return [*kept, _FOREGROUND]
        case _:
            return kept
