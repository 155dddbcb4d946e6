"""What the kinds with a spec and a status share: the status is no client's to write but through its subresource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem
from orchestrator.api.strategies.base import Strategy
from orchestrator.api.strategies.metadata import validate_object_meta
from orchestrator.api.strategies.rules import is_subdomain


class Named(Strategy):
    """A kind whose rules begin with its metadata's; subclasses add `rules` and, for what may not change, `changes`."""

    namespaced: ClassVar[bool] = True
    #: Whether a refused change is told before what is wrong with the object; Kubernetes differs from kind to kind.
    changes_first: ClassVar[bool] = False

    def name_rule(self, name: str) -> Sequence[str]:
        """What is wrong with a name of this kind."""
        return is_subdomain(name)

    def rules(self, obj: Object) -> Sequence[Problem]:
        """What is wrong with the object itself, whether new or changed."""
        return ()

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        """What may not change this way."""
        return ()

    def validate_create(self, obj: Object) -> Sequence[Problem]:
        return [*self._metadata(obj, None), *self.rules(obj)]

    def validate_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        rules, changes = self.rules(obj), self.changes(obj, old)
        first, second = (changes, rules) if self.changes_first else (rules, changes)
        return [*self._metadata(obj, old), *first, *second]

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        return self._metadata(obj, old)

    def _metadata(self, obj: Object, old: Object | None) -> list[Problem]:
        return validate_object_meta(obj, namespaced=self.namespaced, name_rule=self.name_rule, old=old)


class SpecAndStatus(Named):
    """Create starts with `initial_status`, update keeps the status, a status update keeps the spec and the labels."""

    initial_status: ClassVar[Mapping[str, Any]] = {}

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = dict(self.initial_status)

    def prepare_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "status")

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")
        keep(obj.setdefault("metadata", {}), old.get("metadata") or {}, "labels")


def keep(obj: Object, old: Object, field: str) -> None:
    """Take a field over from the stored object, also when it is not there."""
    if field in old:
        obj[field] = old[field]
    else:
        obj.pop(field, None)


def default_conditions(obj: Object) -> None:
    """Write out what `metav1.Condition` always has, empty or not: strict clients refuse a list without it."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        for field in ("reason", "message"):
            if condition.get(field) is None:
                condition[field] = ""


def tie_first(obj: Object, single: str, plural: str) -> None:
    """Keep a value and the list it is the first of as one fact; the value counts where they disagree."""
    value, values = obj.get(single), obj.get(plural)
    if value and (not values or values[0] != value):
        obj[plural] = [value]
    elif values and not value:
        obj[single] = values[0]
