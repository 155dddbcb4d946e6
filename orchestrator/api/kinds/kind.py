"""What a row of the table of kinds says: a kind's names, scope, verbs, columns, and its behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.api.doors import Door
from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import PLAIN, Column
from orchestrator.api.resources import Resource
from orchestrator.api.strategies.base import Strategy

#: Every verb of a stored resource.
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource as discovery tells of it: the kind it speaks (its own group where that differs) and its verbs."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """A field by which the watch cache finds objects quickly: its name, and how stored bytes are asked for it."""

    field: str
    of: Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Between the shape that a kind is served in and the one of the resource that it is stored as."""

    inward: Callable[[Object], Object]
    outward: Callable[[Object], Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One row: all that the server knows of a kind, its behaviour included. Rows are values, and compare as such."""

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    #: Defaults, rules, what a client may not set, who signs, how a deletion goes.
    strategy: Strategy
    #: The ways in besides the object itself.
    doors: tuple[Door, ...] = ()
    columns: tuple[Column, ...] = PLAIN
    #: The resource under which its objects are stored, if it is another one; then with a conversion.
    stored_as: Resource | None = None
    conversion: Conversion | None = None
    #: Fields by which the watch cache finds its objects.
    indexes: tuple[Index, ...] = ()
    #: What writing it takes of something shared: names of the server's ledgers.
    claims: tuple[str, ...] = ()
    #: Whether a deletion that is done at once answers with the object; else, with a Status.
    returns_deleted: bool = False
    verbs: tuple[str, ...] = VERBS
    #: Answered, not stored.
    virtual: bool = False
    #: The OpenAPI schema of a kind that is not among Kubernetes' published definitions.
    definition: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def storage(self) -> Resource:
        """The resource under which its objects are stored."""
        return self.stored_as or self.resource

    def door(self, name: str) -> Door | None:
        """The door to a subresource."""
        return next((door for door in self.doors if door.name == name), None)

    @property
    def subresources(self) -> tuple[Subresource, ...]:
        """All its subresources, by name."""
        found = []
        for door in self.doors:
            is_own = (door.group, door.version) == (self.resource.group, self.resource.version)
            group, version = ("", "") if is_own else (door.group, door.version)
            found.append(Subresource(door.name, door.kind or self.resource.kind, door.verbs, group, version))
        return tuple(sorted(found, key=lambda subresource: subresource.name))
