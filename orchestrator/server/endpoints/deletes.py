"""DELETE of one object and of a collection."""

from __future__ import annotations

import asyncio

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.resources import NAMESPACES, PODS, SERVICES
from orchestrator.machinery.errors import NotFound, ServiceUnavailable
from orchestrator.server import bodies, deletion, forms, refusals, writes
from orchestrator.server.answers import Answer, success
from orchestrator.server.conversion import decoded, inward
from orchestrator.server.core import Call
from orchestrator.server.deletion import DeleteOptions, Mark, Nothing, Remove
from orchestrator.server.endpoints.reads import filter_of
from orchestrator.server.watch_cache import key_of
from orchestrator.server.watches import Side
from orchestrator.store.base import RevisionMismatch, StoreFailed

_ATTEMPTS_MAX = 20
# Enough to share commits, few enough to leave room for others.
_AT_ONCE = 32
_TERMINATING = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
    "automatically be purged by the system."
)


async def delete(call: Call) -> Answer:
    """DELETE of one object."""
    kind = call.kind
    forms.check(call)
    options = deletion.options_of(await bodies.read_optional(call), call.request.query)
    obj, is_gone = await delete_one(call, kind, call.request.name, options)
    if is_gone and kind.resource not in (PODS, SERVICES):
        resource = kind.resource
        meta = obj["metadata"]
        details = {"name": meta["name"], "group": resource.group, "kind": resource.plural, "uid": meta.get("uid")}
        return success(details)
    return Answer.of(obj)


async def delete_one(
    call: Call, kind: Kind, name: str, options: DeleteOptions, *, admit: bool = True
) -> tuple[Object, bool]:
    """Delete, or begin to; returns the last state of the object and whether it is gone. Safe to repeat.

    Without `admit`, admission has been asked already, about whatever led to this.
    """
    for _ in range(_ATTEMPTS_MAX):
        current = await _newest(call, kind, name)
        old = decoded(kind, current)
        deletion.check_preconditions(kind, old, options)
        if admit:
            admission = writes.admission_request(call, kind, "DELETE", None, old, name=name, subresource="")
            call.core.admission.validate(admission)
        decision = deletion.decide(kind, old, options, now=call.core.clock.now())
        is_dry_run = options.is_dry_run or call.is_dry_run
        try:
            match decision:
                case Nothing():
                    if kind.resource is NAMESPACES:
                        raise refusals.conflict(kind.resource, name, _TERMINATING)
                    return old, False
                case Remove():
                    if not is_dry_run:
                        await writes.remove(call, kind, old, int(old["metadata"]["resourceVersion"]))
                    return old, True
                case Mark(obj):
                    return (obj if is_dry_run else await _mark(call, kind, obj, old)), False
        except RevisionMismatch:
            await asyncio.sleep(0)
    raise refusals.conflict(kind.resource, name)


async def _newest(call: Call, kind: Kind, name: str) -> bytes:
    current = await writes.newest(call, kind, name)
    if current is None:
        raise refusals.not_found(kind.resource, name)
    return current


async def _mark(call: Call, kind: Kind, obj: Object, old: Object) -> Object:
    meta = obj["metadata"]
    key = key_of(kind.storage, meta.get("namespace", ""), meta["name"])
    expected = int(old["metadata"]["resourceVersion"])
    value = codec.encode_unstamped(inward(kind, obj))
    try:
        revision = await call.core.store.put(key, value, expect_revision=expected)
    except StoreFailed as exc:
        raise ServiceUnavailable(f"cannot delete {kind.resource.group_resource} {meta['name']!r}: {exc}") from exc
    meta["resourceVersion"] = str(revision)
    return obj


async def delete_collection(call: Call) -> Answer:
    """DELETE of everything that is selected; each object by the rules of a single deletion."""
    kind = call.kind
    forms.check(call)
    if kind.resource.namespaced and not call.request.namespace:
        raise refusals.not_allowed()
    options = deletion.options_of(await bodies.read_optional(call), call.request.query)
    filter_ = filter_of(call, kind)
    await call.core.cache.wait_fresh()
    collection = call.core.cache.collection(kind.storage)
    chosen = [Side(*item) for item in collection.items(filter_.namespace)]
    chosen = [side for side in chosen if filter_.matches(side)]
    for start in range(0, len(chosen), _AT_ONCE):
        batch = chosen[start : start + _AT_ONCE]
        results = await asyncio.gather(
            *(_delete_if_there(call, kind, side.name, options) for side in batch), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, NotFound):
                raise result
    return forms.many(
        call,
        kind,
        [side.value for side in chosen],
        revision=call.core.cache.revision,
        continue_token="",
        remaining=None,
    )


async def _delete_if_there(call: Call, kind: Kind, name: str, options: DeleteOptions) -> None:
    await delete_one(call, kind, name, options)
