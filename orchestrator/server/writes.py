"""The way of every write: admission, rules of the kind, rules of all kinds, the store. What differs is a function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.problems import invalid
from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS, SERVICES
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import AlreadyExists, ServiceUnavailable
from orchestrator.server import metadata, refusals
from orchestrator.server.admission.base import AdmissionRequest, Operation
from orchestrator.server.allocation import Taken
from orchestrator.server.conversion import decoded, inward
from orchestrator.server.core import Call
from orchestrator.server.watch_cache import key_of
from orchestrator.store.base import RevisionMismatch, StoreFailed

# Kubernetes' own: with five random letters, a second collision is a sign of something else.
_NAMES_MAX = 8
# Each attempt starts from the newest state, so only a steady storm on one object gets this far.
_ATTEMPTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of a write: the object's bytes, stamped, as stored, and whether it came to be by this write."""

    value: bytes
    is_new: bool = False


#: Makes the new object from a private copy of the newest one; raises to refuse.
Transform = Callable[[Object], Object]
#: Prepares and checks a changed object: (new, old).
Prepare = Callable[[Call, Kind, Object, Object], None]


def admission_request(
    call: Call, kind: Kind, operation: Operation, obj: Object | None, old: Object | None, *, name: str, subresource: str
) -> AdmissionRequest:
    """What admission is asked about this write."""
    return AdmissionRequest(
        kind=kind,
        operation=operation,
        obj=obj,
        old=old,
        user=call.user,
        namespace=call.request.namespace,
        name=name,
        subresource=subresource,
        dry_run=call.is_dry_run,
        options=call.request.query,
    )


@lru_cache(maxsize=4)
def timestamp_of_second(second: int) -> str:
    """`timestamp`, remembered: thousands of objects may be made within a second."""
    return timestamp(second)


async def create(call: Call, kind: Kind, obj: Object) -> Stored:
    """Create the object, whose types have been checked. Raises what refuses it."""
    core, meta = call.core, obj["metadata"]
    prefix = "" if meta.get("name") else meta.get("generateName") or ""
    for attempt in range(_NAMES_MAX):
        if prefix:
            meta["name"] = metadata.generated_name(prefix, core.dice)
        try:
            return await _create_named(call, kind, codec.copied(obj) if prefix else obj)
        except AlreadyExists:
            if not prefix or attempt == _NAMES_MAX - 1:
                raise
    raise AssertionError("unreachable")


async def _create_named(call: Call, kind: Kind, obj: Object) -> Stored:
    core, strategy, resource = call.core, kind.strategy, kind.resource
    namespace = call.request.namespace if resource.namespaced else ""
    name = obj["metadata"].get("name") or ""
    metadata.fill_new(
        obj,
        namespace=namespace,
        created=timestamp_of_second(int(core.clock.now())),
        has_generation=strategy.has_generation,
        dice=core.dice,
    )
    admission = admission_request(call, kind, "CREATE", obj, None, name=name, subresource="")
    core.admission.mutate(admission)
    strategy.prepare_create(obj)
    if resource is CERTIFICATESIGNINGREQUESTS:
        _sign_for(call, obj)
    strategy.default(obj)
    taken: list[Taken] = []
    if problems := strategy.validate_create(obj):
        raise refusals.invalid(resource, name, problems)
    if resource is SERVICES:
        taken, problems = core.addresses.assign(obj, None)
        if problems:
            raise refusals.invalid(resource, name, problems)
    try:
        core.admission.validate(admission)
        call.warn(*strategy.warnings(obj, None))
        value = codec.encode_unstamped(inward(kind, obj))
        if call.is_dry_run:
            _refuse_taken(call, kind, namespace, name)
            return Stored(value, is_new=True)
        try:
            revision = await _put(call, key_of(kind.storage, namespace, name), value, expect=0, finish=bool(taken))
        except RevisionMismatch as exc:
            being_deleted = exc.actual is not None and b'"deletionTimestamp"' in exc.actual.value
            raise refusals.already_exists(resource, name, is_being_deleted=being_deleted) from exc
        except StoreFailed as exc:
            raise ServiceUnavailable(f"cannot store {resource.group_resource} {name!r}: {exc}") from exc
        if taken:
            await core.cache.wait(revision)
    finally:
        core.addresses.release(taken)
    return Stored(codec.stamp(value, revision), is_new=True)


async def _put(call: Call, key: str, value: bytes, *, expect: int, finish: bool) -> int:
    """Write to the store. With `finish`, a caller whose client has gone still waits for the outcome.

    What was taken on behalf of the object is given back afterwards, and until then nobody else may have it.
    """
    writing = call.core.store.put(key, value, expect_revision=expect)
    if not finish:
        return await writing
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            await call.core.cache.wait(task.result())
        raise


def _refuse_taken(call: Call, kind: Kind, namespace: str, name: str) -> None:
    if call.core.cache.get(kind.storage, namespace, name) is not None:
        raise refusals.already_exists(kind.resource, name)


def _sign_for(call: Call, obj: Object) -> None:
    """Who asks for a certificate is the server's word, not the client's."""
    user, spec = call.user, obj.setdefault("spec", {})
    spec["username"], spec["groups"] = user.name, list(user.groups)
    spec.pop("uid", None)
    spec.pop("extra", None)
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}


def prepare_main(call: Call, kind: Kind, obj: Object, old: Object) -> None:
    """The rules of a change through the resource itself."""
    strategy = kind.strategy
    strategy.prepare_update(obj, old)
    strategy.default(obj)
    metadata.fill_changed(obj, old, has_generation=strategy.has_generation)
    if problems := strategy.validate_update(obj, old):
        raise refusals.invalid(kind.resource, call.request.name, problems)
    call.warn(*strategy.warnings(obj, old))


def prepare_status(call: Call, kind: Kind, obj: Object, old: Object) -> None:
    """The rules of a change through `/status`: everything but status and metadata stays as it is."""
    for field in [field for field in obj if field not in ("metadata", "status")]:
        del obj[field]
    obj.update({field: value for field, value in old.items() if field not in ("metadata", "status")})
    if owners := old["metadata"].get("ownerReferences"):
        obj["metadata"]["ownerReferences"] = owners
    else:
        obj["metadata"].pop("ownerReferences", None)
    kind.strategy.prepare_status_update(obj, old)
    metadata.fill_changed(obj, old, has_generation=False)
    if problems := kind.strategy.validate_status_update(obj, old):
        raise refusals.invalid(kind.resource, call.request.name, problems)


def prepare_nothing(call: Call, kind: Kind, obj: Object, old: Object) -> None:
    """For changes that the server itself makes and knows to be right."""
    metadata.fill_changed(obj, old, has_generation=False)


async def newest(call: Call, kind: Kind, name: str) -> bytes | None:
    """The newest acknowledged state of the named object, stamped, as it is stored."""
    cache = call.core.cache
    await cache.wait_fresh()
    return cache.get(kind.storage, call.request.namespace if kind.resource.namespaced else "", name)


async def change(
    call: Call,
    kind: Kind,
    transform: Transform,
    *,
    prepare: Prepare = prepare_main,
    subresource: str = "",
    admit: bool = True,
) -> Stored:
    """Change the object that the request names, on its newest state, again if somebody else was faster.

    A `transform` whose result carries another resourceVersion than the newest gets a `Conflict`; one that works on what
    it is given starts again from there. Raises `NotFound` when there is no such object.
    """
    name = call.request.name
    for _ in range(_ATTEMPTS_MAX):
        current = await newest(call, kind, name)
        if current is None:
            raise refusals.not_found(kind.resource, name)
        old = decoded(kind, current)
        obj = transform(codec.copied(old))
        _check_identity(kind, obj, old)
        try:
            return await _replace(call, kind, obj, old, current, prepare, subresource, admit)
        except RevisionMismatch:
            await asyncio.sleep(0)
    raise refusals.conflict(kind.resource, name)


async def _replace(
    call: Call,
    kind: Kind,
    obj: Object,
    old: Object,
    current: bytes,
    prepare: Prepare,
    subresource: str,
    admit: bool,
) -> Stored:
    core, name = call.core, call.request.name
    admission = admission_request(call, kind, "UPDATE", obj, old, name=name, subresource=subresource)
    if admit:
        core.admission.mutate(admission)
    prepare(call, kind, obj, old)
    taken: list[Taken] = []
    if kind.resource is SERVICES and not subresource:
        taken, problems = core.addresses.assign(obj, old)
        if problems:
            raise refusals.invalid(kind.resource, name, problems)
    try:
        if admit:
            core.admission.validate(admission)
        if metadata.may_vanish(obj):
            return await _vanish(call, kind, obj, old)
        if metadata.is_same(obj, old):
            return Stored(current)
        value = codec.encode_unstamped(inward(kind, obj))
        expected = int(old["metadata"]["resourceVersion"])
        if call.is_dry_run:
            return Stored(codec.stamp(value, expected))
        key = key_of(kind.storage, obj["metadata"].get("namespace", ""), name)
        try:
            revision = await _put(call, key, value, expect=expected, finish=bool(taken))
        except StoreFailed as exc:
            raise ServiceUnavailable(f"cannot store {kind.resource.group_resource} {name!r}: {exc}") from exc
        if taken:
            await core.cache.wait(revision)
        return Stored(codec.stamp(value, revision))
    finally:
        core.addresses.release(taken)


async def _vanish(call: Call, kind: Kind, obj: Object, old: Object) -> Stored:
    """The last thing that a deletion waited for is gone: so is the object."""
    expected = int(old["metadata"]["resourceVersion"])
    value = codec.encode_unstamped(inward(kind, obj))
    if call.is_dry_run:
        return Stored(codec.stamp(value, expected))
    return Stored(codec.stamp(value, await remove(call, kind, obj, expected)))


async def remove(call: Call, kind: Kind, obj: Object, expect_revision: int) -> int:
    """Delete from the store. Raises `RevisionMismatch`."""
    meta = obj["metadata"]
    key = key_of(kind.storage, meta.get("namespace", ""), meta["name"])
    try:
        return await call.core.store.delete(key, expect_revision=expect_revision)
    except StoreFailed as exc:
        raise ServiceUnavailable(f"cannot delete {kind.resource.group_resource} {meta['name']!r}: {exc}") from exc


def _check_identity(kind: Kind, obj: Object, old: Object) -> None:
    """See that the changed object is meant for this one."""
    meta, before = obj["metadata"], old["metadata"]
    name = before["name"]
    if meta.get("uid") and meta["uid"] != before["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {before['uid']}"
        raise refusals.conflict(kind.resource, name, why)
    wanted = meta.get("resourceVersion")
    if wanted and wanted != before["resourceVersion"]:
        raise refusals.conflict(kind.resource, name)
    if not wanted and not kind.strategy.allows_unconditional_update:
        problem = invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise refusals.invalid(kind.resource, name, [problem])
