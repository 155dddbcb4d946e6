"""The metadata that every kind shares and no client sets: names, uid, times, generation. Pure."""

from __future__ import annotations

from typing import Any

from orchestrator.api.objects import Object
from orchestrator.server.dice import SUFFIX_LENGTH, Dice

_NAME_MAX = 63
_SERVER_SET = (
    "resourceVersion",
    "selfLink",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",  # kept for nobody until server-side apply needs them
)
_KEPT = ("name", "namespace", "uid", "creationTimestamp")
# Whatever a client says: it may have read the object before its deletion was hastened.
_OF_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")


def named(obj: Object, dice: Dice) -> bool:
    """Give an object that asks for it a name: its prefix, cut to fit, and random letters. Says whether it did."""
    metadata = obj["metadata"]
    prefix = metadata.get("generateName")
    if not prefix or metadata.get("name"):
        return False
    metadata["name"] = generated_name(prefix, dice)
    return True


def generated_name(prefix: str, dice: Dice) -> str:
    """The prefix, cut to fit, and random letters."""
    return prefix[: _NAME_MAX - SUFFIX_LENGTH] + dice.name_suffix()


def fill_new(obj: Object, *, namespace: str, created: str, has_generation: bool, dice: Dice) -> None:
    """Make a client's metadata that of a new object."""
    metadata = obj["metadata"]
    for field in _SERVER_SET:
        metadata.pop(field, None)
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = dice.uid()
    metadata["creationTimestamp"] = created
    if has_generation:
        metadata["generation"] = 1


def fill_changed(obj: Object, old: Object, *, has_generation: bool) -> None:
    """Give a changed object what the stored one has and the client left out, and count a changed spec."""
    metadata, before = obj["metadata"], old["metadata"]
    for field in _KEPT:
        if metadata.get(field) is None and field in before:
            metadata[field] = before[field]
    for field in _OF_DELETION:
        if before.get(field) is not None:
            metadata[field] = before[field]
    for field in ("resourceVersion", "selfLink", "managedFields"):
        metadata.pop(field, None)
    metadata.pop("generation", None)
    if "generation" in before:
        changed = has_generation and _wanted(obj) != _wanted(old)
        metadata["generation"] = before["generation"] + 1 if changed else before["generation"]


def _wanted(obj: Object) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def is_same(obj: Object, old: Object) -> bool:
    """Whether a write would change nothing. `obj` carries no resourceVersion."""
    before = {key: value for key, value in old["metadata"].items() if key != "resourceVersion"}
    return bool(obj["metadata"] == before and {**obj, "metadata": None} == {**old, "metadata": None})


def may_vanish(obj: Object) -> bool:
    """Whether an object is being deleted, and its metadata say nothing to wait for."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
