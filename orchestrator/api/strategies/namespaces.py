"""Namespaces: the finalizer that empties them, their phase, and the label with their name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.api.doors import Part
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid
from orchestrator.api.strategies.base import Strategy
from orchestrator.api.strategies.metadata import standard_finalizer
from orchestrator.api.strategies.rules import is_label, qualified_name
from orchestrator.api.strategies.spec_status import SpecAndStatus, keep

_FINALIZER = "kubernetes"
_NAME_LABEL = "kubernetes.io/metadata.name"


class _Namespaces(SpecAndStatus):
    has_generation = False
    namespaced = False
    deleted_twice = (
        "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
        "automatically be purged by the system."
    )

    def is_held(self, obj: Object) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def mark_deleted(self, obj: Object) -> None:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def name_rule(self, name: str) -> Sequence[str]:
        return is_label(name)

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if _FINALIZER not in finalizers:
            finalizers.append(_FINALIZER)

    def prepare_update(self, obj: Object, old: Object) -> None:
        # Finalizers change only through the `finalize` subresource.
        keep(obj, old, "spec")
        keep(obj, old, "status")

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")

    def default(self, obj: Object) -> None:
        meta = obj.setdefault("metadata", {})
        if name := meta.get("name"):
            if not meta.get("labels"):
                meta["labels"] = {}
            meta["labels"][_NAME_LABEL] = name
        if not obj.setdefault("status", {}).get("phase"):
            obj["status"]["phase"] = "Active"

    def rules(self, obj: Object) -> Sequence[Problem]:
        return _finalizers(obj)

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        problems = self._metadata(obj, old)
        deleting = bool((obj.get("metadata") or {}).get("deletionTimestamp"))
        phase = (obj.get("status") or {}).get("phase", "")
        expected, words = ("Terminating", "is not empty") if deleting else ("Active", "is empty")
        if phase != expected:
            words = f"may only be '{expected}' if `deletionTimestamp` {words}"
            problems.append(invalid("status.Phase", phase, words))
        return problems

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        phase = (obj.get("status") or {}).get("phase", "")
        return {"status.phase": phase, "name": (obj.get("metadata") or {}).get("name", "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalize(Part):
    """`/finalize`: only the finalizers of the spec may change; with the last of them, the namespace goes."""

    name: str = "finalize"
    verbs: tuple[str, ...] = ("update",)

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        assert old is not None
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        meta = {**old["metadata"], "finalizers": obj["metadata"].get("finalizers") or []}
        if not meta["finalizers"]:
            del meta["finalizers"]
        spec = {key: value for key, value in (old.get("spec") or {}).items() if key != "finalizers"}
        if finalizers:
            spec["finalizers"] = finalizers
        obj.clear()
        obj.update({**old, "metadata": meta, "spec": spec})

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        return [*NAMESPACES_STRATEGY._metadata(obj, old), *_finalizers(obj)]


def _finalizers(obj: Object) -> list[Problem]:
    problems: list[Problem] = []
    for name in (obj.get("spec") or {}).get("finalizers") or ():
        problems += qualified_name("spec.finalizers", name) + standard_finalizer("spec.finalizers", name)
    return problems


NAMESPACES_STRATEGY = _Namespaces()
