"""What becomes of a write: refused, nothing to do, or operations on the store. Pure, knowing only what comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from orchestrator.api import codec
from orchestrator.api.doors import Writes
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.machinery.errors import ApiError
from orchestrator.server import refusals
from orchestrator.server.conversion import inward
from orchestrator.server.watch_cache import key_of
from orchestrator.server.writing import deletion, metadata
from orchestrator.server.writing.claims import Claim
from orchestrator.server.writing.deletion import Mark, Nothing, Remove
from orchestrator.server.writing.facts import Facts
from orchestrator.server.writing.options import DeleteOptions
from orchestrator.server.writing.stages import BEFORE, DECIDING, Draft, admission_request, claimed
from orchestrator.store.base import Delete, Operation, Put


class Refuse(msgspec.Struct, frozen=True):
    """No; `error` says why.

    Raised, an error knows the frames it went through, one of which knows this: without the garbage collector, no
    refused request would ever be forgotten.
    """

    error: ApiError


class Unchanged(msgspec.Struct, frozen=True, gc=False):
    """There is nothing to write: the object is so already."""

    warnings: Sequence[str] = ()


class Commit(msgspec.Struct, frozen=True, gc=False):
    """Write this, if the store still is as `expectations` say (key → revision, 0 for a key that is not there).

    The first operation is the object's own; others are claims of shared things. `shown` is what the client gets to see,
    to be stamped with the commit's revision.
    """

    operations: Sequence[Operation]
    expectations: Mapping[str, int]
    shown: bytes
    warnings: Sequence[str] = ()
    #: Whether the object is gone by it.
    removes: bool = False


Decision = Refuse | Unchanged | Commit


def mutate(kind: Kind, door: Writes, old: Object | None, new: Object, facts: Facts) -> None:
    """The stages before the decision, on `new` in place. Raises the `ApiError` that refuses it."""
    draft = Draft(kind, door, new, old, facts)
    for stage in BEFORE:
        stage.run(draft)


def decide(kind: Kind, door: Writes, old: Object | None, new: Object | DeleteOptions, facts: Facts) -> Decision:
    """What writing `new` over `old` (None: nothing is there) through this door comes to; or deleting `old`.

    `new` is the caller's own, and changed on the way.
    """
    try:
        if isinstance(new, DeleteOptions):
            assert old is not None, "what is not there is not deleted"
            return _deletion(kind, door, old, new, facts)
        draft = Draft(kind, door, new, old, facts)
        for stage in DECIDING:
            stage.run(draft)
    except ApiError as error:
        return Refuse(error)
    return _creation(draft) if old is None else _change(draft, old)


def _creation(draft: Draft) -> Refuse | Commit:
    kind, meta, facts = draft.kind, draft.obj["metadata"], draft.facts
    name, namespace = meta["name"], meta.get("namespace", "")
    # In earnest it is the store that says so.
    if facts.is_dry_run and facts.objects.get(kind.storage, namespace, name) is not None:
        return Refuse(refusals.already_exists(kind.resource, name))
    key = key_of(kind.storage, namespace, name)
    value = codec.encode_unstamped(inward(kind, draft.obj))
    return _commit(Put(key, value), 0, value, draft.claims, warnings=draft.warnings)


def _change(draft: Draft, old: Object) -> Unchanged | Commit:
    kind, obj = draft.kind, draft.obj
    vanishes = metadata.may_vanish(obj) and not kind.strategy.is_held(obj)
    if not vanishes and metadata.is_same(obj, old):
        return Unchanged(draft.warnings)
    key = _key(kind, obj)
    value = codec.encode_unstamped(inward(kind, obj))
    if vanishes:
        claims, _ = claimed(kind, None, old, draft.facts)
        return _commit(Delete(key), _revision(old), value, claims, warnings=draft.warnings)
    return _commit(Put(key, value), _revision(old), value, draft.claims, warnings=draft.warnings)


def _deletion(kind: Kind, door: Writes, old: Object, options: DeleteOptions, facts: Facts) -> Decision:
    deletion.check_preconditions(kind, old, options)
    if door.asks_admission:
        facts.admission.validate(admission_request(kind, facts, "DELETE", None, old, subresource=""))
    key = _key(kind, old)
    match deletion.decide(kind, old, options, now=facts.now):
        case Nothing() if why := kind.strategy.deleted_twice:
            return Refuse(refusals.conflict(kind.resource, old["metadata"]["name"], why))
        case Nothing():
            return Unchanged()
        case Remove():
            shown = codec.encode_unstamped(inward(kind, old))
            claims, _ = claimed(kind, None, old, facts)
            return _commit(Delete(key), _revision(old), shown, claims)
        case Mark(obj):
            value = codec.encode_unstamped(inward(kind, obj))
            return _commit(Put(key, value), _revision(old), value)


def _commit(
    own: Put | Delete, expect: int, shown: bytes, claims: Sequence[Claim] = (), *, warnings: Sequence[str] = ()
) -> Commit:
    operations: list[Operation] = [own]
    expectations = {own.key: expect}
    for claim in claims:
        operations += claim.operations
        expectations |= claim.expectations
    return Commit(tuple(operations), expectations, shown, warnings, removes=isinstance(own, Delete))


def _key(kind: Kind, obj: Object) -> str:
    meta = obj["metadata"]
    return key_of(kind.storage, meta.get("namespace", ""), meta["name"])


def _revision(old: Object) -> int:
    return int(old["metadata"]["resourceVersion"])
