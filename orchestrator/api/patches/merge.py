"""JSON Merge Patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.patches import BadPatch


def apply(obj: Object, patch: Any) -> Object:
    """The patched object; `obj` and `patch` are left as they are. Raises `BadPatch`."""
    if not isinstance(patch, dict):
        raise BadPatch("Invalid JSON Patch")
    return _merged(codec.copied(obj), patch)


def _merged(target: Object, patch: Object) -> Object:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            present = target.get(key)
            target[key] = _merged(present if isinstance(present, dict) else {}, value)
        else:
            target[key] = codec.copied_value(value)
    return target
