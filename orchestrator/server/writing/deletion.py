"""What a deletion does to an object: remove it, mark it and let others finish, or nothing new. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.machinery.clock import parse_timestamp, timestamp
from orchestrator.machinery.errors import BadRequest
from orchestrator.server import refusals
from orchestrator.server.requests import is_set

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Orphan", "Background", "Foreground")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The options of a deletion, from its body or, where that says nothing, its query."""

    grace_s: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    is_dry_run: bool = False


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


def options_of(body: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """Read the options. Raises `BadRequest`."""
    grace: Any = body.get("gracePeriodSeconds")
    if grace is None and (text := query.get("gracePeriodSeconds")):
        grace = refusals.integer(text)
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise BadRequest("DeleteOptions.gracePeriodSeconds must be an integer")
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = is_set(query["orphanDependents"])
    if orphan is not None:
        if propagation:
            raise BadRequest("orphanDependents and deletionPropagation cannot be both set")
        propagation = "Orphan" if orphan else "Background"
    if propagation and propagation not in _POLICIES:
        listed = ", ".join(f'"{policy}"' for policy in (*_POLICIES[1:], "Orphan"))
        raise BadRequest(f'propagationPolicy: Unsupported value: "{propagation}": supported values: {listed}')
    preconditions = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    if any(word != "All" for word in dry_run):
        raise BadRequest('dryRun: Unsupported value: supported values: "All"')
    return DeleteOptions(
        grace_s=grace,
        propagation=str(propagation),
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
        is_dry_run=bool(dry_run),
    )


def check_preconditions(kind: Kind, obj: Object, options: DeleteOptions) -> None:
    """Raises `Conflict` if the object is not the one that was meant."""
    meta = obj["metadata"]
    for asked, field, words in (
        (options.uid, "uid", "UID"),
        (options.resource_version, "resourceVersion", "ResourceVersion"),
    ):
        if asked and asked != meta.get(field):
            why = (
                f"Precondition failed: {words} in precondition: {asked}, {words} in object meta: {meta.get(field, '')}"
            )
            raise refusals.conflict(kind.resource, meta["name"], why)


def decide(kind: Kind, old: Object, options: DeleteOptions, *, now: float) -> Deletion:
    """What this deletion does, as Kubernetes' `BeforeDelete` and garbage collection policies have it."""
    obj = codec.copied(old)
    meta = obj["metadata"]
    finalizers = _finalizers(meta.get("finalizers") or [], options.propagation if kind.strategy.collected else "")
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    grace_s = kind.strategy.grace_seconds(obj, options.grace_s)
    waits = bool(finalizers) or kind.strategy.is_held(obj)
    if meta.get("deletionTimestamp"):
        current = meta.get("deletionGracePeriodSeconds") or 0
        if kind.strategy.graceful and options.grace_s is not None and grace_s < current:
            began = parse_timestamp(meta["deletionTimestamp"]) - current
            meta["deletionTimestamp"] = timestamp(began + grace_s)
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
