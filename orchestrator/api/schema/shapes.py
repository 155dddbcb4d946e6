"""A schema in the lean form that stays in memory: what the walker, strategic merge and field sets need, no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Shape(Enum):
    """What a value is on the wire; the value is the word for scalars in Go's messages."""

    STRUCT = "struct"
    MAP = "map"
    LIST = "list"
    STRING = "string"
    INT32 = "int32"
    INT64 = "int64"
    NUMBER = "float64"
    BOOLEAN = "bool"
    BYTES = "[]uint8"
    TIME = "v1.Time"
    MICRO_TIME = "v1.MicroTime"
    QUANTITY = "resource.Quantity"
    AMOUNT = "amount"  # a quantity in a map of resources, which Kubernetes keeps in canonical form
    INT_OR_STRING = "intstr.IntOrString"
    ANY = "interface {}"


@dataclass(slots=True, eq=False)
class Schema:
    """One node. Structs are shared by every field of their type; they may be recursive through `properties`.

    `name` is the type as Go prints it (`v1.Container`), for structs; `required` are the fields that Kubernetes writes
    even when they are empty (whether they must be given is the strategies' business). `items` is the schema of a list's
    items or of a map's values. The rest is the `x-kubernetes-*` data of the field: how lists and structs merge.
    """

    shape: Shape
    name: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Schema | None = None
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    merge_key: str = ""
    patch_strategies: tuple[str, ...] = ()
    is_clean: Callable[[Any], bool] | None = None

    @property
    def go_type(self) -> str:
        """The type as Go's messages print it."""
        match self.shape:
            case Shape.STRUCT:
                return self.name
            case Shape.LIST:
                return f"[]{self.items.go_type if self.items else 'interface {}'}"
            case Shape.MAP if self.items and self.items.shape is Shape.AMOUNT:
                return "v1.ResourceList"
            case Shape.MAP:
                return f"map[string]{self.items.go_type if self.items else 'interface {}'}"
            case _:
                return str(self.shape.value)
