"""What is wrong with an object: the field, the rule it breaks and Kubernetes' words for it.

Messages and reasons follow `k8s.io/apimachinery/pkg/util/validation/field/errors.go`, because clients parse them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. `message` is what follows the field's path, `reason` the machine-readable cause type."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def as_cause(self) -> dict[str, str]:
        """The entry of `Status.details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def required(field: str, detail: str = "") -> Problem:
    """A field that must be given and is not."""
    return Problem(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid(field: str, value: Any, detail: str) -> Problem:
    """A value that breaks a rule of its field."""
    return Problem(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}")


def not_supported(field: str, value: Any, supported: Sequence[str]) -> Problem:
    """A value outside its enumeration."""
    listed = ", ".join(json.dumps(word) for word in supported)
    return Problem(field, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {listed}")


def duplicate(field: str, value: Any) -> Problem:
    """A value that must be unique and is not."""
    return Problem(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def forbidden(field: str, detail: str) -> Problem:
    """A field that may not be set, or not changed, here."""
    return Problem(field, "FieldValueForbidden", f"Forbidden: {detail}")


def not_found(field: str, value: Any) -> Problem:
    """A reference to something that is not there."""
    return Problem(field, "FieldValueNotFound", f"Not found: {_shown(value)}")


def too_long(field: str, length_max: int) -> Problem:
    """A value longer than its limit, in bytes."""
    return Problem(field, "FieldValueTooLong", f"Too long: may not be more than {length_max} bytes")


def too_many(field: str, count: int, count_max: int) -> Problem:
    """A list with more items than its limit."""
    return Problem(field, "FieldValueTooMany", f"Too many: {count}: must have at most {count_max} items")


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (dict, list)):
        return _cut(value)
    return str(value)


# A rule broken by each item of a list may show the list each time: written out whole, that would be quadratic.
_SHOWN_MAX = 1024
_written = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).iterencode


def _cut(value: Any) -> str:
    text = ""
    for piece in _written(value):
        text += piece
        if len(text) > _SHOWN_MAX:
            return f"{text[:_SHOWN_MAX]}..."
    return text
