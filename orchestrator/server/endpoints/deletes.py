"""DELETE of one object and of a collection."""

from __future__ import annotations

import asyncio

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.machinery.errors import NotFound
from orchestrator.server import bodies, forms, list_options, refusals
from orchestrator.server.answers import Answer, success
from orchestrator.server.core import Call
from orchestrator.server.endpoints.reads import filter_of, page_of
from orchestrator.server.list_options import Token
from orchestrator.server.watches import name_of
from orchestrator.server.writing import options, shell
from orchestrator.server.writing.options import DeleteOptions

# Enough to share commits, few enough to leave room for others.
_AT_ONCE = 32


async def delete(call: Call) -> Answer:
    """DELETE of one object."""
    kind = call.kind
    forms.check(call)
    asked = options.of_deletion(await bodies.read_optional(call), call.request.query)
    stored = await shell.remove(call, kind, asked)
    if stored.is_gone and not kind.returns_deleted:
        resource = kind.resource
        meta = codec.decode(stored.value)["metadata"]
        return success({"name": meta["name"], "group": resource.group, "kind": resource.plural, "uid": meta.get("uid")})
    return forms.one(call, kind, stored.value)


async def delete_collection(call: Call) -> Answer:
    """DELETE of everything that is selected; each object by the rules of a single deletion."""
    kind = call.kind
    forms.check(call)
    if kind.resource.namespaced and not call.request.namespace:
        raise refusals.not_allowed()
    asked = options.of_deletion(await bodies.read_optional(call), call.request.query)
    wanted = list_options.parse(call.request.query, is_watch=False)
    page, revision = await page_of(call, kind, filter_of(call, kind), wanted)
    for start in range(0, len(page.values), _AT_ONCE):
        batch = page.values[start : start + _AT_ONCE]
        results = await asyncio.gather(
            *(_delete_if_there(call, kind, name_of(value), asked) for value in batch), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, NotFound):
                raise result
    return forms.many(
        call,
        kind,
        page.values,
        revision=revision,
        continue_token=Token(revision, page.last).encode() if page.last is not None else "",
        remaining=page.remaining,
    )


async def _delete_if_there(call: Call, kind: Kind, name: str, asked: DeleteOptions) -> None:
    await shell.remove(call, kind, asked, name=name)
