"""Doors: the ways into an object, each with the pure rules of what comes in by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem

if TYPE_CHECKING:
    from orchestrator.api.strategies.base import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A way to change an object, whose body is the whole object. Doors are values: equal ones do the same.

    The server calls, on its own copy of the object: the strategy's `default` (where `has_defaults`), `prepare`, then
    `validate`. `old` is None for a creation, which only the main door lets in.
    """

    #: The subresource; empty for the object itself.
    name: str = ""
    #: Whether what comes in is given the kind's defaults.
    has_defaults: ClassVar[bool] = False
    #: Whether a change of what is wanted raises the generation, for kinds that count.
    counts_generation: ClassVar[bool] = False
    #: Whether admission is asked about the change. If not, it has been asked about what led to it.
    asks_admission: ClassVar[bool] = True
    #: Whether what a change takes of something shared is claimed here.
    claims: ClassVar[bool] = False

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        """Carry over, or drop, what may not change through this door. `now` is the time as a timestamp."""

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        """All rules that the object or the change breaks."""
        return ()

    def warnings(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[str]:
        """What to tell the client though the object is accepted."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Main(Door):
    """The object itself."""

    has_defaults = True
    counts_generation = True
    claims = True

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        if old is None:
            strategy.prepare_create(obj)
        else:
            strategy.prepare_update(obj, old)

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        return strategy.validate_create(obj) if old is None else strategy.validate_update(obj, old)

    def warnings(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[str]:
        return strategy.warnings(obj, old)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Door):
    """`/status`: everything but status and metadata stays as it is, and of the metadata, the owners."""

    name: str = "status"

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        assert old is not None
        for field in [field for field in obj if field not in ("metadata", "status")]:
            del obj[field]
        obj.update({field: value for field, value in old.items() if field not in ("metadata", "status")})
        if owners := old["metadata"].get("ownerReferences"):
            obj["metadata"]["ownerReferences"] = owners
        else:
            obj["metadata"].pop("ownerReferences", None)
        strategy.prepare_status_update(obj, old)

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        assert old is not None
        return strategy.validate_status_update(obj, old)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner(Door):
    """For changes that the server itself makes of what came in by another door, and knows to be right."""

    asks_admission = False


MAIN = Main()
STATUS = Status()
