"""JSON Patch (RFC 6902)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.patches import BadPatch, PatchRejected, PatchTooLarge

#: Kubernetes' own limits: operations in one patch, and what `copy` operations may add, in bytes.
OPERATIONS_MAX = 10_000
COPIED_BYTES_MAX = 3 * 1024 * 1024


def apply(obj: Object, operations: Any) -> Object:
    """The patched object; `obj` is left as it is. Raises `BadPatch` and its more precise kinds."""
    if not isinstance(operations, list):
        raise BadPatch("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > OPERATIONS_MAX:
        raise PatchTooLarge(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}"
        )
    if not all(isinstance(operation, dict) for operation in operations):
        raise BadPatch("json: cannot unmarshal value into Go value of type jsonpatch.Operation")
    try:
        patch = _patch_with_budget(operations)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError) as exc:
        raise BadPatch(str(exc)) from exc
    try:
        patched = patch.apply(codec.copied(obj), in_place=True)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError, IndexError, RecursionError) as exc:
        raise PatchRejected(str(exc)) from exc
    if not isinstance(patched, dict):
        raise PatchRejected("the patched document is no object")
    return patched


def _patch_with_budget(operations: list[dict[str, Any]]) -> Any:
    """A patch whose copies have a budget: twenty that double their target would make a million of it."""
    spent = 0

    class Copy(jsonpatch.CopyOperation):
        def apply(self, obj: Any) -> Any:
            nonlocal spent
            spent += len(codec.encode(self.pointer_cls(self.operation["from"]).resolve(obj, None)))
            if spent > COPIED_BYTES_MAX:
                raise PatchTooLarge(
                    f"Unable to complete the copy, the accumulated size increase of copy is {spent}, "
                    f"exceeding the limit {COPIED_BYTES_MAX}"
                )
            return super().apply(obj)

    class Patch(jsonpatch.JsonPatch):
        operations = MappingProxyType({**jsonpatch.JsonPatch.operations, "copy": Copy})

    return Patch(operations)
