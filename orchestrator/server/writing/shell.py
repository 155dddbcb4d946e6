"""Carries writes out: the newest object, the decision, the commit, and again if somebody else was faster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar, assert_never

import msgspec

from orchestrator.api import codec
from orchestrator.api.doors import MAIN, Writes
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.problems import invalid
from orchestrator.machinery.errors import AlreadyExists, GatewayTimeout, ServiceUnavailable
from orchestrator.machinery.tasks import within
from orchestrator.server import refusals
from orchestrator.server.bodies import is_large
from orchestrator.server.conversion import decoded
from orchestrator.server.core import Call
from orchestrator.server.dice import thrown
from orchestrator.server.watch_cache import key_of
from orchestrator.server.writing import templates
from orchestrator.server.writing.decide import Commit, Decision, Refuse, Unchanged, decide, mutate
from orchestrator.server.writing.facts import Facts, Recorded, is_current
from orchestrator.server.writing.options import DeleteOptions
from orchestrator.server.writing.templates import Sketch, Template
from orchestrator.store.base import RevisionMismatch, StoreFailed

# Kubernetes' own: with five random letters, a second collision is a sign of something else.
_NAMES_MAX = 8
# Each attempt starts from the newest state, and each failure is somebody else's success: only a storm on one object, or
# on something shared, gets this far.
_ATTEMPTS_MAX = 100

T = TypeVar("T")

#: Makes the new object from a private copy of the newest one; raises to refuse.
Transform = Callable[[Object], Object]


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a write: the object's bytes, stamped, as stored, or as they were before it went."""

    value: bytes
    is_gone: bool = False


def facts_of(call: Call, *, is_dry_run: bool = False) -> Facts:
    """What is known at this moment."""
    core, request = call.core, call.request
    return Facts(
        now=core.clock.now(),
        dice=thrown(core.dice),
        user=call.user,
        namespace=request.namespace,
        name=request.name,
        options=request.query,
        is_dry_run=is_dry_run or call.is_dry_run,
        objects=core.cache,
        admission=core.admission,
        ledgers=core.ledgers,
    )


async def newest(call: Call, kind: Kind, name: str) -> bytes | None:
    """The newest acknowledged state of the named object, stamped, as it is stored."""
    cache = call.core.cache
    await cache.wait_fresh()
    return cache.get(kind.storage, call.request.namespace if kind.resource.namespaced else "", name)


async def create(call: Call, kind: Kind, obj: Object) -> Stored:
    """Create the object, whose types have been checked. Raises what refuses it."""
    meta = obj["metadata"]
    names_left = _NAMES_MAX if meta.get("generateName") and not meta.get("name") else 1
    size = len(call.body)
    may_fail = names_left > 1 or bool(kind.claims) or is_large(size)
    for _ in range(_NAMES_MAX + _ATTEMPTS_MAX):
        new = await _thought(call, size, partial(codec.copied, obj)) if may_fail else obj
        facts = facts_of(call)
        objects = Recorded(facts.objects)
        if is_large(size):
            facts = msgspec.structs.replace(facts, objects=objects)
        decision = await _decided(call, kind, MAIN, None, new, facts, size)
        if is_large(size):
            # Meanwhile the namespace may have begun to go, or have gone; of a small object nobody had the time.
            await call.core.cache.wait_fresh()
            if not is_current(objects.all, call.core.cache):
                continue
        try:
            return await _carried_out(call, kind, decision, facts)
        except RevisionMismatch as exc:
            name = new["metadata"]["name"]
            if exc.key != key_of(kind.storage, new["metadata"].get("namespace", ""), name):
                await call.core.cache.wait_fresh()  # somebody else was given what this one chose: choose anew
                continue
            names_left -= 1
            if not names_left:
                raise _taken(kind, name, exc) from exc
    raise refusals.conflict(kind.resource, meta.get("name") or meta.get("generateName") or "")


async def create_from(call: Call, kind: Kind, template: Template, seen: Sketch, facts: Facts) -> Stored | None:
    """Create an object of which all but its own was seen before, with these facts. Raises what refuses it.

    None when the name that was generated is taken: by now, what the template was made of may be another.
    """
    try:
        return await _carried_out(call, kind, templates.created(kind, template, seen, facts), facts)
    except RevisionMismatch as exc:
        if not seen.name:
            return None
        raise _taken(kind, seen.name, exc) from exc


def _taken(kind: Kind, name: str, mismatch: RevisionMismatch) -> AlreadyExists:
    there = mismatch.actual
    being_deleted = there is not None and b'"deletionTimestamp"' in there.value
    return refusals.already_exists(kind.resource, name, is_being_deleted=being_deleted)


async def change(call: Call, kind: Kind, transform: Transform, *, door: Writes = MAIN) -> Stored:
    """Change the object that the request names, on its newest state, again if somebody else was faster.

    A `transform` whose result carries another resourceVersion than the newest gets a `Conflict`; one that works on what
    it is given starts again from there. Raises `NotFound` when there is no such object.
    """

    async def decided(old: Object, facts: Facts, size: int) -> Decision:
        def transformed() -> Object:
            new = transform(codec.copied(old))
            _check_identity(kind, new, old)
            return new

        size += len(call.body)
        return await _decided(call, kind, door, old, await _thought(call, size, transformed), facts, size)

    return await _on_the_newest(call, kind, decided)


async def remove(call: Call, kind: Kind, options: DeleteOptions, *, door: Writes = MAIN, name: str = "") -> Stored:
    """Delete the object that the request names (or `name`), or begin to. Safe to repeat; raises as `change` does."""

    async def decided(old: Object, facts: Facts, size: int) -> Decision:
        return decide(kind, door, old, options, facts)

    return await _on_the_newest(call, kind, decided, is_dry_run=options.is_dry_run, name=name)


async def _decided(
    call: Call, kind: Kind, door: Writes, old: Object | None, new: Object, facts: Facts, size: int
) -> Decision:
    await _thought(call, size, partial(mutate, kind, door, old, new, facts))
    # Whoever outside the server has a say about the object is asked, and awaited, here.
    return await _thought(call, size, partial(decide, kind, door, old, new, facts))


async def _thought(call: Call, size: int, think: Callable[[], T]) -> T:
    """What `think` returns, found out off the event loop if it is about so many bytes that it takes long."""
    return await call.core.large.call(think) if is_large(size) else think()


async def _on_the_newest(
    call: Call,
    kind: Kind,
    decided: Callable[[Object, Facts, int], Awaitable[Decision]],
    *,
    is_dry_run: bool = False,
    name: str = "",
) -> Stored:
    name = name or call.request.name
    for _ in range(_ATTEMPTS_MAX):
        current = await newest(call, kind, name)
        if current is None:
            raise refusals.not_found(kind.resource, name)
        facts = facts_of(call, is_dry_run=is_dry_run)
        decision = await decided(decoded(kind, current), facts, len(current))
        try:
            return await _carried_out(call, kind, decision, facts, current)
        except RevisionMismatch:
            await asyncio.sleep(0)
    raise refusals.conflict(kind.resource, name)


async def _carried_out(call: Call, kind: Kind, decision: Decision, facts: Facts, current: bytes = b"") -> Stored:
    """Raises `RevisionMismatch` if the store is not as the decision took it to be."""
    match decision:
        case Refuse(error):
            raise error
        case Unchanged(warnings):
            call.warn(*warnings)
            return Stored(current)
        case Commit() as commit:
            call.warn(*commit.warnings)
            if facts.is_dry_run:
                return _tried(commit)
            return Stored(codec.stamp(commit.shown, await _committed(call, kind, commit)), commit.removes)
        case _:
            assert_never(decision)


def _tried(commit: Commit) -> Stored:
    """What a commit would come to; a new object has no revision then."""
    expected = commit.expectations[commit.operations[0].key]
    return Stored(codec.stamp(commit.shown, expected) if expected else commit.shown, commit.removes)


async def _committed(call: Call, kind: Kind, commit: Commit) -> int:
    try:
        return await within(call.core.commit_s, call.core.store.commit(commit.operations, commit.expectations))
    except TimeoutError as exc:
        # Whether it will be written nobody knows; but others may want the seat.
        raise GatewayTimeout(
            "Timeout: request did not complete within requested timeout - context deadline exceeded"
        ) from exc
    except StoreFailed as exc:
        verb, name = "delete" if commit.removes else "store", commit.operations[0].key.rpartition("/")[2]
        raise ServiceUnavailable(f"cannot {verb} {kind.resource.group_resource} {name!r}: {exc}") from exc


def _check_identity(kind: Kind, obj: Object, old: Object) -> None:
    """See that the changed object is meant for this one."""
    meta, before = obj["metadata"], old["metadata"]
    name = before["name"]
    if meta.get("uid") and meta["uid"] != before["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {before['uid']}"
        raise refusals.conflict(kind.resource, name, why)
    wanted = meta.get("resourceVersion")
    if wanted == "0":
        wanted = ""  # no revision at all, as in Kubernetes
    if wanted and wanted != before["resourceVersion"]:
        raise refusals.conflict(kind.resource, name)
    if not wanted and not kind.strategy.allows_unconditional_update:
        problem = invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise refusals.invalid(kind.resource, name, [problem])
