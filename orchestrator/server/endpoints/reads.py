"""GET of one object and of a collection, with the semantics of resourceVersion, limit and continue."""

from __future__ import annotations

import asyncio

from orchestrator.api.kinds import Kind, Kinds, path_of
from orchestrator.api.objects import Object
from orchestrator.api.selectors import BadSelector, parse_field_selector, parse_label_selector
from orchestrator.machinery.errors import BadRequest
from orchestrator.server import forms, list_options, pages, refusals
from orchestrator.server.answers import Answer
from orchestrator.server.conversion import outward
from orchestrator.server.core import Call
from orchestrator.server.list_options import Exactly, ListOptions, Newest, NotOlderThan, Position, Token
from orchestrator.server.pages import Page
from orchestrator.server.watch_cache import key_of, prefix_of
from orchestrator.server.watches import Fields, Filter
from orchestrator.store.base import Compacted, FutureRevision

# Kubernetes' own: how long a read waits for a revision that the client has seen elsewhere.
_REVISION_WAIT_S = 3.0
# An object with nothing in it: which fields a kind has does not depend on their values.
_BARE: Object = {"metadata": {}, "spec": {}, "status": {}, "involvedObject": {}, "regarding": {}}


async def get(call: Call) -> Answer:
    """One object, as of the newest acknowledged write or, if the client allows, a little older."""
    kind, request = call.kind, call.request
    forms.check(call)
    cache = call.core.cache
    if wanted := list_options.revision_of(request.query.get("resourceVersion", "")):
        await wait_for(call, wanted)
    else:
        await cache.wait_fresh()
    value = cache.get(kind.storage, request.namespace if kind.resource.namespaced else "", request.name)
    if value is None:
        raise refusals.not_found(kind.resource, request.name)
    return forms.one(call, kind, value)


async def list_(call: Call) -> Answer:
    """A collection, or a page of it."""
    kind = call.kind
    forms.check(call)
    filter_ = filter_of(call, kind)
    options = list_options.parse(call.request.query, is_watch=False)
    page, revision = await page_of(call, kind, filter_, options)
    token = Token(revision, page.last).encode() if page.last is not None else ""
    return forms.many(call, kind, page.values, revision=revision, continue_token=token, remaining=page.remaining)


async def page_of(call: Call, kind: Kind, filter_: Filter, options: ListOptions) -> tuple[Page, int]:
    """What a list with these options shows, and the revision of that. Raises `Gone` if it is no longer kept."""
    cache = call.core.cache
    after: Position | None = None
    match options.reading():
        case Newest(after):
            await cache.wait_fresh()
        case NotOlderThan(revision):
            await wait_for(call, revision)
        case Exactly(revision, after):
            return await _snapshot(call, kind, filter_, revision, after, options.page), revision
    # What is selected is taken from the cache before anything is awaited, so this is the revision that it shows.
    revision = cache.revision
    return await pages.of_cache(cache.collection(kind.storage), kind, filter_, after, options.page), revision


async def _snapshot(call: Call, kind: Kind, filter_: Filter, revision: int, after: Position | None, limit: int) -> Page:
    """A page of what was there at a revision. Raises `Gone` once the store does not keep it any more."""
    cache = call.core.cache
    await wait_for(call, revision)
    # The store is asked first even if the cache knows: revisions are kept for as long as it keeps them, no longer.
    prefix = prefix_of(kind.storage, filter_.namespace)
    behind = key_of(kind.storage, *after) if after is not None else ""
    try:
        await call.core.store.list(prefix, at_revision=revision, after_key=behind, limit=1)
        collection = cache.collection(kind.storage)
        if collection.changed <= revision:
            return await pages.of_cache(collection, kind, filter_, after, limit)
        if (was := collection.before(revision)) is not None:
            return await pages.of_past(collection, was, filter_, after, limit)
        listed = limit if filter_.is_open else 0
        listing = await call.core.store.list(prefix, at_revision=revision, after_key=behind, limit=listed)
    except Compacted as exc:
        raise refusals.expired_list(Token(None, after).encode() if after is not None else "") from exc
    except FutureRevision as exc:
        raise refusals.too_large_revision(revision, cache.revision) from exc
    return await pages.of_store(listing.records, filter_, limit, more=listing.more)


def filter_of(call: Call, kind: Kind) -> Filter:
    """What the request selects. Raises `BadRequest` for selectors that make no sense for this kind."""
    query = call.request.query
    try:
        labels = parse_label_selector(query.get("labelSelector", ""))
        fields = parse_field_selector(query.get("fieldSelector", ""))
    except BadSelector as exc:
        raise BadRequest(str(exc)) from exc
    strategy = kind.strategy
    if not fields.is_empty:
        own = strategy.selectable_fields(_BARE)
        for requirement in fields.requirements:
            if requirement.field not in {"metadata.name", "metadata.namespace", *own}:
                raise refusals.unknown_field(requirement.field, has_own=bool(own))
    if name := call.request.name:
        if fields.is_empty:
            fields = parse_field_selector(f"metadata.name={name}")
        elif fields.exact("metadata.name") != name:
            raise BadRequest("fieldSelector metadata.name doesn't match requested name")
    return Filter(
        namespace=call.request.namespace if kind.resource.namespaced else "",
        labels=labels,
        fields=fields,
        fields_of=call.kinds.derived(_fields_of, *path_of(kind.resource)),
    )


def _fields_of(kinds: Kinds, group: str, version: str, plural: str) -> Fields:
    """How a stored object's selectable fields are read; always the same function for a kind, so it is asked once."""
    kind = kinds.find(group, version, plural)
    assert kind is not None
    selectable = kind.strategy.selectable_fields
    return (lambda obj: selectable(outward(kind, obj))) if kind.stored_as else selectable


async def wait_for(call: Call, revision: int) -> None:
    """Wait until the cache shows a revision that the client has seen; raises Kubernetes' timeout."""
    cache = call.core.cache
    try:
        async with asyncio.timeout(_REVISION_WAIT_S):
            await cache.wait(revision)
    except TimeoutError as exc:
        raise refusals.too_large_revision(revision, cache.revision) from exc
