"""The options of a write: of its query, and of a deletion's body. Checked in one place, in Kubernetes' words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.api.problems import Problem, invalid, not_supported, too_long
from orchestrator.machinery.errors import Invalid
from orchestrator.server import refusals
from orchestrator.server.requests import is_set

#: What each verb that writes calls its options.
_KINDS = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}
_POLICIES = ("Foreground", "Background", "Orphan")
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_DRY_RUN = "All"
# Kubernetes' own.
_MANAGER_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The options of a deletion, from its body or, where that says nothing, its query."""

    grace_s: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    is_dry_run: bool = False


def check(verb: str, query: Mapping[str, str]) -> None:
    """See that the query of a request that writes means something; asked before anything is done about the request.

    What it says of a trial must not be taken for a write in earnest by anybody. Raises `Invalid`.
    """
    kind = _KINDS.get(verb)
    if kind is None or not query:
        return
    problems = _of_dry_run([query["dryRun"]] if "dryRun" in query else ())
    if kind != "DeleteOptions":
        problems += _of_manager(query.get("fieldManager", ""))
        validation = query.get("fieldValidation", "")
        if validation not in _VALIDATIONS:
            problems.append(not_supported("fieldValidation", validation, _VALIDATIONS))
    _refuse(kind, problems)


def of_deletion(body: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """The options of a deletion; the body's types have been checked. Raises `BadRequest` and `Invalid`."""
    grace_s: int | None = body.get("gracePeriodSeconds")
    if grace_s is None and (text := query.get("gracePeriodSeconds")):
        grace_s = refusals.integer(text)
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = is_set(query["orphanDependents"])
    dry_run = body.get("dryRun") or ([query["dryRun"]] if "dryRun" in query else [])
    problems: list[Problem] = []
    if orphan is not None and propagation:
        words = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(invalid("propagationPolicy", propagation, words))
    if propagation and propagation not in _POLICIES:
        problems.append(not_supported("propagationPolicy", propagation, (*_POLICIES, "nil")))
    _refuse("DeleteOptions", [*problems, *_of_dry_run(dry_run)])
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace_s=grace_s,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        is_dry_run=bool(dry_run),
    )


def _of_dry_run(words: Sequence[str]) -> list[Problem]:
    if all(word == _DRY_RUN for word in words):
        return []
    return [not_supported("dryRun", list(words), (_DRY_RUN,))]


def _of_manager(name: str) -> list[Problem]:
    problems: list[Problem] = []
    if len(name.encode("utf-8", "surrogatepass")) > _MANAGER_LENGTH_MAX:
        problems.append(too_long("fieldManager", _MANAGER_LENGTH_MAX))
        name = name[:_MANAGER_LENGTH_MAX]  # one answer need not name each letter of a novel
    problems += [
        invalid("fieldManager", name, f"invalid character U+{ord(letter):04X} (at position {position})")
        for position, letter in enumerate(name)
        if not letter.isprintable()
    ]
    return problems


def _refuse(kind: str, problems: Sequence[Problem]) -> None:
    if problems:
        raise Invalid.of(group="meta.k8s.io", kind=kind, name="", problems=problems)
