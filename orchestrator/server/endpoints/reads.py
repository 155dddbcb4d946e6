"""GET of one object and of a collection, with the semantics of resourceVersion, limit and continue."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from orchestrator.api.kinds import Kind, Kinds, path_of
from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS
from orchestrator.api.selectors import BadSelector, parse_field_selector, parse_label_selector
from orchestrator.machinery.errors import BadRequest, Gone
from orchestrator.server import forms, refusals
from orchestrator.server.answers import Answer
from orchestrator.server.conversion import outward
from orchestrator.server.core import Call
from orchestrator.server.watch_cache import key_of, prefix_of
from orchestrator.server.watches import Fields, Filter, Side
from orchestrator.store.base import Compacted, FutureRevision

# Kubernetes' own: how long a read waits for a revision that the client has seen elsewhere.
_REVISION_WAIT_S = 3.0
# Selecting decodes: others get the loop after this many objects.
_YIELD_EVERY = 500
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)

# An object with nothing in it: which fields a kind has does not depend on their values.
_BARE: Object = {"metadata": {}, "spec": {}, "status": {}, "involvedObject": {}, "regarding": {}}

_MATCHES = ("", "NotOlderThan", "Exact")


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list in pages goes on: after which key, as of which revision (-1: whatever is there by then)."""

    revision: int
    namespace: str
    name: str

    def encode(self) -> str:
        body = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": f"{self.namespace}/{self.name}"}
        return base64.urlsafe_b64encode(codec.encode(body)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Token:
        """Raises `BadRequest`."""
        try:
            body = codec.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            namespace, _, name = str(body["start"]).rpartition("/")
            return cls(int(body["rv"]), namespace, name)
        except (binascii.Error, Malformed, KeyError, ValueError, TypeError) as exc:
            raise BadRequest(f"continue key is not valid: {exc}") from exc


async def get(call: Call) -> Answer:
    """One object, as of the newest acknowledged write or, if the client allows, a little older."""
    kind, request = call.kind, call.request
    forms.check(call)
    cache = call.core.cache
    if wanted := parse_revision(request.query.get("resourceVersion", "")):
        await wait_for(call, wanted)
    else:
        await cache.wait_fresh()
    value = cache.get(kind.storage, request.namespace if kind.resource.namespaced else "", request.name)
    if value is None:
        raise refusals.not_found(kind.resource, request.name)
    return forms.one(call, kind, value)


async def list_(call: Call) -> Answer:
    """A collection, or a page of it."""
    kind, query = call.kind, call.request.query
    forms.check(call)
    filter_ = filter_of(call, kind)
    limit = _limit(query.get("limit", ""))
    token = Token.decode(query["continue"]) if query.get("continue") else None
    revision_text, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    _check_parameters(revision_text, match, has_token=token is not None)
    wanted = parse_revision(revision_text)
    if token is not None and token.revision >= 0:
        return await _page_of_snapshot(call, kind, filter_, token, limit)
    if match == "Exact":
        return await _page_of_snapshot(call, kind, filter_, Token(wanted, "", ""), limit)
    if wanted:
        await wait_for(call, wanted)
    elif revision_text != "0":
        await call.core.cache.wait_fresh()
    return await _page_of_cache(call, kind, filter_, token, limit, call.core.cache.revision)


async def _page_of_cache(
    call: Call, kind: Kind, filter_: Filter, token: Token | None, limit: int, revision: int
) -> Answer:
    """A page of what the cache shows; `revision` is what it shows of this collection."""
    collection = call.core.cache.collection(kind.storage)
    if filter_.is_open and not limit and token is None:
        values = collection.values(filter_.namespace)
        return forms.many(call, kind, values, revision=revision, continue_token="", remaining=None)
    node = filter_.fields.exact("spec.nodeName")
    if node and kind.resource is PODS:
        sides = [_side_of(value) for value in collection.on_node(node)]
    else:
        sides = [Side(*item) for item in collection.items(filter_.namespace)]
    if token is not None:
        after = _place(token.namespace, token.name)
        sides = [side for side in sides if _place(side.namespace, side.name) > after]
    chosen, left = await _select(sides, filter_, limit)
    return _page(call, kind, filter_, chosen, left, revision)


async def _page_of_snapshot(call: Call, kind: Kind, filter_: Filter, token: Token, limit: int) -> Answer:
    cache = call.core.cache
    if token.revision > cache.revision:
        await wait_for(call, token.revision)
    if cache.collection(kind.storage).changed <= token.revision:
        # Nothing has happened to the collection since, so the cache shows that snapshot.
        cursor = token if token.name else None
        return await _page_of_cache(call, kind, filter_, cursor, limit, token.revision)
    after = key_of(kind.storage, token.namespace, token.name) if token.name else ""
    prefix = prefix_of(kind.storage, filter_.namespace)
    page = limit if filter_.is_open else 0
    try:
        listing = await call.core.store.list(prefix, at_revision=token.revision, after_key=after, limit=page)
    except Compacted as exc:
        if not token.name:
            raise refusals.expired(exc.oldest, token.revision) from exc
        raise Gone(_TOO_OLD, details={}) from exc
    except FutureRevision as exc:
        raise refusals.too_large_revision(token.revision, cache.revision) from exc
    sides: list[Side] = []
    for record in listing.records:
        parts = record.key.split("/")
        namespace = parts[4] if len(parts) == 6 else ""
        sides.append(Side(namespace, parts[-1], codec.stamp(record.value, record.revision)))
    chosen, left = await _select(sides, filter_, limit)
    if listing.more and chosen and left == 0:
        return _page(call, kind, filter_, chosen, -1, token.revision)
    return _page(call, kind, filter_, chosen, left, token.revision)


def _page(call: Call, kind: Kind, filter_: Filter, chosen: Sequence[Side], left: int, revision: int) -> Answer:
    """`left`: how many follow, -1 if that is not known."""
    token = Token(revision, chosen[-1].namespace, chosen[-1].name).encode() if left and chosen else ""
    # With a selector nobody knows how many of the rest match, and Kubernetes says nothing then.
    remaining = left if left > 0 and filter_.is_open else None
    values = [side.value for side in chosen]
    return forms.many(call, kind, values, revision=revision, continue_token=token, remaining=remaining)


async def _select(sides: Sequence[Side], filter_: Filter, limit: int) -> tuple[list[Side], int]:
    """The first `limit` that match (0: all), and how many were not looked at."""
    if filter_.is_open:
        return list(sides[:limit] if limit else sides), max(0, len(sides) - limit) if limit else 0
    chosen: list[Side] = []
    for index, side in enumerate(sides):
        if filter_.matches(side):
            if limit and len(chosen) == limit:
                return chosen, len(sides) - index
            chosen.append(side)
        if index % _YIELD_EVERY == _YIELD_EVERY - 1:
            await asyncio.sleep(0)
    return chosen, 0


def _side_of(value: bytes) -> Side:
    meta = codec.decode(value)["metadata"]
    return Side(meta.get("namespace", ""), meta["name"], value)


def _place(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"


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
        known = {"metadata.name", "metadata.namespace", *strategy.selectable_fields(_BARE)}
        for requirement in fields.requirements:
            if requirement.field not in known:
                raise BadRequest(
                    f'Unable to find "{kind.resource.group_resource}" that match label selector '
                    f'"{query.get("labelSelector", "")}", field selector "{query.get("fieldSelector", "")}": '
                    f"field label not supported: {requirement.field}"
                )
    name = call.request.name
    if name:
        fields = parse_field_selector(f"metadata.name={name}")
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


def parse_revision(text: str) -> int:
    """A resourceVersion parameter; empty is 0. Raises `BadRequest`."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise BadRequest(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


async def wait_for(call: Call, revision: int) -> None:
    """Wait until the cache shows a revision that the client has seen; raises Kubernetes' timeout."""
    cache = call.core.cache
    try:
        async with asyncio.timeout(_REVISION_WAIT_S):
            await cache.wait(revision)
    except TimeoutError as exc:
        raise refusals.too_large_revision(revision, cache.revision) from exc


def _limit(text: str) -> int:
    try:
        limit = int(text) if text else 0
    except ValueError as exc:
        raise refusals.bad_parameter("limit", text, "must be an integer") from exc
    return max(0, limit)


def _check_parameters(revision: str, match: str, *, has_token: bool) -> None:
    if has_token and revision not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    if match and has_token:
        raise BadRequest("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided")
    if match and not revision:
        raise BadRequest(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    if match not in _MATCHES:
        raise BadRequest(
            f'resourceVersionMatch: Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
        )
    if match == "Exact" and revision == "0":
        raise BadRequest(
            'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        )
