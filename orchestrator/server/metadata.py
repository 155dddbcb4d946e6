"""The metadata that every kind shares and no client sets: names, uid, times, generation. Pure, but for the dice."""

from __future__ import annotations

import random
from typing import Any

from orchestrator.api.objects import Object

#: Kubernetes' alphabet for generated names: no vowels and nothing that looks like something else.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
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
_KEPT = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def generated_name(prefix: str, dice: random.Random) -> str:
    """The prefix, cut to fit, and five random letters."""
    return prefix[: _NAME_MAX - _SUFFIX] + "".join(dice.choices(_LETTERS, k=_SUFFIX))


def fill_new(obj: Object, *, namespace: str, created: str, has_generation: bool, dice: random.Random) -> None:
    """Make a client's metadata that of a new object."""
    metadata = obj["metadata"]
    for field in _SERVER_SET:
        metadata.pop(field, None)
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = _uid(dice)
    metadata["creationTimestamp"] = created
    if has_generation:
        metadata["generation"] = 1


def _uid(dice: random.Random) -> str:
    """A random UUID (version 4); five times cheaper than making a `uuid.UUID` of it."""
    bits = dice.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def fill_changed(obj: Object, old: Object, *, has_generation: bool) -> None:
    """Give a changed object what the stored one has and the client left out, and count a changed spec."""
    metadata, before = obj["metadata"], old["metadata"]
    for field in _KEPT:
        if metadata.get(field) is None and field in before:
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
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if obj.get("kind") == "Namespace" and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
