"""What a column is, and the columns that many kinds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.durations import age

#: The value of one cell, from an object and the present time (seconds since 1970).
Cell = Callable[[Object, float], Any]

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. Those with a priority are shown by `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def as_definition(self) -> dict[str, Any]:
        """The entry of `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def name_cell(obj: Object, now: float) -> str:
    """The object's name."""
    name: str = obj["metadata"].get("name", "")
    return name


def age_cell(obj: Object, now: float) -> str:
    """How long ago the object was created."""
    return age(obj["metadata"].get("creationTimestamp"), now)


NAME = Column(
    "Name",
    name_cell,
    format="name",
    description="The object's name, unique among its kind in its namespace.",
)
AGE = Column("Age", age_cell, description="How long ago the object was created.")
CREATED_AT = Column(
    "Created At",
    lambda obj, now: obj["metadata"].get("creationTimestamp") or UNKNOWN,
    type="date",
    description="When the object was created.",
)

#: For kinds without columns of their own.
PLAIN = (NAME, CREATED_AT)


def joined(items: list[str], empty: str = NONE) -> str:
    """A comma-separated list, or what stands for an empty one."""
    return ",".join(items) if items else empty


def joined_map(labels: dict[str, str] | None, empty: str = NONE) -> str:
    """`k=v,k=v`, sorted, or what stands for an empty map."""
    return joined([f"{k}={v}" for k, v in sorted((labels or {}).items())], empty)
