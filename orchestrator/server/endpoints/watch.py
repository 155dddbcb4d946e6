"""Watches: the state first if asked for, then every change as it is committed, with bookmarks in between."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from aiohttp import web

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.machinery.errors import NotAcceptable
from orchestrator.server import forms, list_options, metrics, refusals, warnings
from orchestrator.server.answers import WRITE_TIMEOUT_S
from orchestrator.server.core import Call
from orchestrator.server.endpoints.reads import filter_of, wait_for
from orchestrator.server.list_options import ListOptions
from orchestrator.server.pages import candidates
from orchestrator.server.watch_cache import Collection
from orchestrator.server.watches import Event, Fanned, Filter, Form, Shape, Side, TooSlow, Watcher, encode_event

# Kubernetes' own: the last bookmark comes so long before the end, for the client to resume from.
_LAST_BOOKMARK_S = 2.0
# Without a limit of the client's, a watch ends after 30 to 60 minutes, so that clients spread over servers again.
_TIMEOUT_MIN_S = 1800
_TIMEOUT_MAX_S = 86_400
# Objects looked at before others get the loop, and bytes written before the client has to have taken them: what a
# slow client keeps waiting beyond that are lines that it shares with all others.
_STATE_CHUNK = 200
_CHUNK_BYTES = 64 << 10
# A client that takes nothing for so long is cut off, and resumes from where it was.
_WRITE_TIMEOUT_S = 30.0
# Nor may what a watch begins with, during which it has a seat, be waited for longer than a list's whole answer.
_FIRST_TIMEOUT_S = WRITE_TIMEOUT_S
_PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
_INITIAL_END = "k8s.io/initial-events-end"


async def watch(call: Call) -> web.StreamResponse:
    """Answer for as long as the client listens, reads along, and its time has not come."""
    kind = call.kind
    forms.check(call)
    if call.accepted.is_yaml:
        raise NotAcceptable("only the following media types are accepted: application/json;stream=watch")
    filter_, form = filter_of(call, kind), forms.form_of(call, kind)
    options = list_options.parse(call.request.query, is_watch=True)
    cache = call.core.cache
    if options.revision is None:
        await cache.wait_fresh()
    else:
        await wait_for(call, options.revision)
    # From here to `add` nothing is awaited: what is read and what is delivered fit without gap or overlap.
    collection = cache.collection(kind.storage)
    wants_state = _wants_state(options)
    if wants_state:
        first = _state_of(collection, kind, filter_, form)
    else:
        first = missed(collection, kind, filter_, form, options.revision or 0)
    watcher = collection.watchers.join(filter_, form)
    start = watcher.take().revision
    metrics.WATCHES.labels(kind.resource.group_resource).inc()
    try:
        with call.core.served.watched(kind, watcher):
            response = await _open(call)
            stream = Stream(response, kind, form)
            await stream.send_first(first)
            if wants_state and options.bookmarks:
                await stream.send([], _bookmark(kind, form.shape, start, annotations={_INITIAL_END: "true"}))
            stream.has_begun()
            call.seat.give_back()  # from here on it costs what it has to say, and that is little
            await _follow(call, stream, watcher, options)
            await stream.end()
    except TooSlow:
        metrics.WATCHES_CUT.inc()
        if call.http.transport is not None:
            call.http.transport.abort()  # what it has not read by now, it is not going to read
    finally:
        collection.watchers.remove(watcher)
        metrics.WATCHES.labels(kind.resource.group_resource).dec()
    return response


def _wants_state(options: ListOptions) -> bool:
    """Whether the watch begins with the objects that are there, as ADDED events."""
    if options.initial_events is not None:
        return options.initial_events
    return not options.revision


# What a watch begins with is settled when it begins, but selected and encoded as the client takes it: a slow one keeps
# little waiting, and others have the loop in between. None is something that is not selected.


def _state_of(collection: Collection, kind: Kind, filter_: Filter, form: Form) -> Iterable[bytes | None]:
    """What is there at this moment."""
    if filter_.is_open:
        return (encode_event("ADDED", form.encode(value)) for value in collection.values(filter_.namespace))
    items = candidates(collection, kind, filter_)
    return (encode_event("ADDED", form.encode(item[-1])) if filter_.matches(Side(*item)) else None for item in items)


def missed(collection: Collection, kind: Kind, filter_: Filter, form: Form, revision: int) -> Iterable[bytes | None]:
    """What happened after the revision the client has. Raises `Gone` if that is not known any more."""
    if revision == 0:
        return ()  # it wants no state and names no revision: from here on
    events = collection.since(revision)
    if events is None:
        raise refusals.expired(collection.window_start, revision)
    # Of what happened to all pods, a node's are few: an index tells them from the others without decoding any.
    wanted = [(index.of, value) for index in kind.indexes if (value := filter_.fields.exact(index.field))]
    return (
        Fanned(event).seen_by(filter_, form) if all(_concerns(event, of, value) for of, value in wanted) else None
        for event in events
    )


def _concerns(event: Event, of: Callable[[bytes], str], value: str) -> bool:
    return of(event.value) == value or (event.old is not None and of(event.old) == value)


async def _open(call: Call) -> web.StreamResponse:
    response = web.StreamResponse(
        headers=[
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-cache, private"),
            *warnings.headers_of(call.warnings),
        ]
    )
    await response.prepare(call.http)
    return response


class Stream:
    """One watch's answer on its way to the client. For all that it begins with it is waited `first_s` at most."""

    def __init__(
        self, response: web.StreamResponse, kind: Kind, form: Form, *, first_s: float = _FIRST_TIMEOUT_S
    ) -> None:
        self._response = response
        self._left_s = first_s
        self._form = form
        self._is_open = False
        self.kind = kind

    async def send(self, lines: list[bytes], bookmark: bytes = b"") -> None:
        """Write events, and a bookmark behind them. Raises `TooSlow` if the client does not read."""
        if lines and not self._is_open:
            lines[0] = self._form.opening(lines[0])
            self._is_open = True
        for data in gathered([*lines, bookmark] if bookmark else lines, _CHUNK_BYTES):
            await self._write(data)

    def has_begun(self) -> None:
        """What the client gets from here on, it may take as slowly as things happen."""
        self._left_s = math.inf

    async def send_first(self, first: Iterable[bytes | None]) -> None:
        """Write what the watch begins with (None: nothing), with the loop left to others in between."""
        lines: list[bytes] = []
        size = 0
        for number, line in enumerate(first, 1):
            if line is not None:
                lines.append(line)
                size += len(line)
            if number % _STATE_CHUNK == 0 or size >= _CHUNK_BYTES:
                await self.send(lines)
                lines, size = [], 0
                await asyncio.sleep(0)
        await self.send(lines)

    async def end(self) -> None:
        await self._response.write_eof()

    async def _write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(min(_WRITE_TIMEOUT_S, self._left_s)):
                await self._response.write(data)
        except TimeoutError as exc:
            raise TooSlow from exc
        self._left_s -= loop.time() - began


def gathered(lines: Iterable[bytes], bytes_max: int) -> Iterator[bytes]:
    """The lines joined into pieces of about this size, so that none is copied before its turn."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= bytes_max:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


async def _follow(call: Call, stream: Stream, watcher: Watcher, options: ListOptions) -> None:
    """Write what comes until the client's time is up, or it reads too slowly."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + _lasts_s(call, options)
    bookmark_at = _next_bookmark(loop.time(), call.core.bookmark_every_s, ends_at) if options.bookmarks else ends_at
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(bookmark_at, ends_at)):
                await watcher.wait()
        taken = watcher.take()
        now = loop.time()
        bookmark = b""
        if options.bookmarks and now >= bookmark_at:
            # After what was pending: a client that resumes from the bookmark has seen it.
            bookmark = _bookmark(stream.kind, watcher.form.shape, taken.revision)
            bookmark_at = _next_bookmark(now, call.core.bookmark_every_s, ends_at)
        await stream.send(taken.lines, bookmark)
        if now >= ends_at or taken.has_ended:
            return


def _next_bookmark(now: float, every_s: float, ends_at: float) -> float:
    last = ends_at - _LAST_BOOKMARK_S
    return min(now + every_s, last) if now < last else now + every_s


def _bookmark(kind: Kind, shape: Shape, revision: int, annotations: Mapping[str, str] | None = None) -> bytes:
    """The event that only tells how far the client has come."""
    meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        meta["annotations"] = dict(annotations)
    obj: Object
    match shape:
        case Shape.TABLE:
            # A table's own metadata has no annotations; Kubernetes puts them on a row without cells.
            rows = [{"cells": None, "object": {**_PARTIAL, "metadata": meta}}] if annotations else None
            obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": None, "rows": rows}
            obj["metadata"] = {"resourceVersion": str(revision)}
        case Shape.METADATA:
            obj = {**_PARTIAL, "metadata": meta}
        case Shape.OBJECT:
            obj = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version, "metadata": meta}
    return encode_event("BOOKMARK", codec.encode(obj))


def _lasts_s(call: Call, options: ListOptions) -> float:
    if options.timeout_s > 0:
        return float(min(options.timeout_s, _TIMEOUT_MAX_S))
    return _TIMEOUT_MIN_S * (1 + call.core.dice.random())
