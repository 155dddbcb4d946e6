"""The stages of a write, in their order: what happens to an object between the request and the store.

A stage is pure but for the draft that it works on, and says what it reads. It refuses by raising an `ApiError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from orchestrator.api.doors import Writes
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem
from orchestrator.machinery.errors import Invalid
from orchestrator.server import refusals
from orchestrator.server.admission.base import AdmissionRequest, Operation
from orchestrator.server.admission.reads import Reads
from orchestrator.server.writing import metadata
from orchestrator.server.writing.claims import Claim
from orchestrator.server.writing.facts import Facts


class Draft(msgspec.Struct, gc=False):
    """An object on its way through the stages. `old` is None for one that is being created."""

    kind: Kind
    door: Writes
    obj: Object
    old: Object | None
    facts: Facts
    warnings: Sequence[str] = ()
    #: What of shared things is to be written beside the object.
    claims: Sequence[Claim] = ()

    @property
    def name(self) -> str:
        """The object's name, in refusals."""
        return self.facts.name or self.obj["metadata"].get("name") or ""

    def refused(self, problems: Sequence[Problem]) -> Invalid:
        """What to raise for broken rules."""
        return refusals.invalid(self.kind.resource, self.name, problems)


class Stage(msgspec.Struct, frozen=True, gc=False):
    """One step. `reads` None: nobody has said, so it may be anything."""

    name: str
    run: Callable[[Draft], None]
    reads: Reads | None


def admission_request(
    kind: Kind, facts: Facts, operation: Operation, obj: Object | None, old: Object | None, *, subresource: str
) -> AdmissionRequest:
    """What admission is asked about a write."""
    name = facts.name or (obj["metadata"].get("name") or "" if obj is not None else "")
    return AdmissionRequest(
        kind=kind,
        operation=operation,
        obj=obj,
        old=old,
        user=facts.user,
        namespace=facts.namespace,
        name=name,
        objects=facts.objects,
        dice=facts.dice,
        subresource=subresource,
        dry_run=facts.is_dry_run,
        options=facts.options,
    )


def _asked(draft: Draft) -> AdmissionRequest:
    operation: Operation = "CREATE" if draft.old is None else "UPDATE"
    return admission_request(draft.kind, draft.facts, operation, draft.obj, draft.old, subresource=draft.door.name)


def _identity(draft: Draft) -> None:
    if not draft.kind.resource.namespaced:
        draft.obj["metadata"].pop("namespace", None)
    if draft.old is None:
        metadata.named(draft.obj, draft.facts.dice)


def _default(draft: Draft) -> None:
    if draft.door.has_defaults:
        draft.kind.strategy.default(draft.obj)


def _mutate(draft: Draft) -> None:
    if draft.door.asks_admission:
        draft.facts.admission.mutate(_asked(draft))


def _prepare(draft: Draft) -> None:
    strategy, facts = draft.kind.strategy, draft.facts
    draft.door.prepare(strategy, draft.obj, draft.old, facts.timestamp)
    if draft.old is None:
        strategy.sign(draft.obj, facts.user)


def _metadata(draft: Draft) -> None:
    strategy, facts = draft.kind.strategy, draft.facts
    if draft.old is None:
        metadata.fill_new(
            draft.obj,
            namespace=facts.namespace if draft.kind.resource.namespaced else "",
            created=facts.timestamp,
            has_generation=strategy.has_generation,
            dice=facts.dice,
        )
    else:
        counts = draft.door.counts_generation and strategy.has_generation
        metadata.fill_changed(draft.obj, draft.old, has_generation=counts)


def _managed_fields(draft: Draft) -> None:
    """Who set which field: kept for nobody until server-side apply needs it."""


def _validate(draft: Draft) -> None:
    strategy = draft.kind.strategy
    if problems := draft.door.validate(strategy, draft.obj, draft.old):
        raise draft.refused(problems)
    draft.warnings = draft.door.warnings(strategy, draft.obj, draft.old)


def _claim(draft: Draft) -> None:
    if draft.door.claims and draft.kind.claims:
        draft.claims, problems = claimed(draft.kind, draft.obj, draft.old, draft.facts)
        if problems:
            raise draft.refused(problems)


def claimed(
    kind: Kind, new: Object | None, old: Object | None, facts: Facts
) -> tuple[Sequence[Claim], Sequence[Problem]]:
    """What the ledgers of a kind say of a write; `new` is None for a deletion."""
    planned = [facts.ledgers[name].plan(new, old, facts) for name in kind.claims]
    return [claim for claim, _ in planned], [problem for _, problems in planned for problem in problems]


def _admit(draft: Draft) -> None:
    if draft.door.asks_admission:
        draft.facts.admission.validate(_asked(draft))


_OBJECT = Reads.NAME | Reads.TEMPLATE
_ADMISSION = _OBJECT | Reads.OLD | Reads.USER | Reads.NAMESPACE | Reads.OPTIONS | Reads.OBJECTS | Reads.DICE

#: Up to where somebody outside may have to be asked, and waited for.
BEFORE: tuple[Stage, ...] = (
    Stage("identity", _identity, Reads.NAME | Reads.DICE),
    Stage("default", _default, _OBJECT),
    Stage("mutate", _mutate, _ADMISSION),
)
#: The decision.
DECIDING: tuple[Stage, ...] = (
    Stage("default again", _default, _OBJECT),
    Stage("prepare", _prepare, _OBJECT | Reads.OLD | Reads.USER | Reads.CLOCK),
    Stage("metadata", _metadata, _OBJECT | Reads.OLD | Reads.NAMESPACE | Reads.CLOCK | Reads.DICE),
    Stage("managed fields", _managed_fields, Reads(0)),
    Stage("validate", _validate, _OBJECT | Reads.OLD),
    Stage("claims", _claim, _OBJECT | Reads.OLD | Reads.OBJECTS | Reads.CLOCK | Reads.DICE),
    Stage("admit", _admit, _ADMISSION),
)
