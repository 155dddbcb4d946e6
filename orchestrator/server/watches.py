"""Watch events and those who wait for them: whom an event concerns, as what, and how much may wait for slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple

import msgspec

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.selectors import EVERYTHING, FieldSelector, Selector

# A client that lets this much wait is not reading: it is cut off, and resumes from where it was.
_PENDING_EVENTS_MAX = 8192
_PENDING_BYTES_MAX = 16 << 20

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
Fields = Callable[[Object], Mapping[str, str]]


_STAMP = b'{"metadata":{"resourceVersion":"'


def restamp(value: bytes, revision: int) -> bytes:
    """Stamped bytes with another revision: how a watch tells when something left."""
    return b"%b%d%b" % (_STAMP, revision, value[value.index(b'"', len(_STAMP)) :])


def revision_of(value: bytes) -> int:
    """The revision that stamped bytes carry."""
    return int(value[len(_STAMP) : value.index(b'"', len(_STAMP))])


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change of one object. `value` are stamped bytes, for DELETED the last state with the deletion's revision."""

    type: EventType
    namespace: str
    name: str
    value: bytes
    old: bytes | None
    revision: int

    @property
    def weight(self) -> int:
        """The bytes that only the memory of this event keeps alive."""
        return len(self.old or b"") + (len(self.value) if self.type == "DELETED" else 0)


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct, gc=False):
    metadata: _Metadata


def name_of(value: bytes) -> str:
    """The name of a stored object."""
    return codec.decode_into(value, _Labelled).metadata.name


_ANY_FIELD = FieldSelector()


class Side:
    """One state of an object as selectors see it, decoded no further than somebody asks."""

    __slots__ = ("_fields", "_fields_of", "_labels", "name", "namespace", "value")

    def __init__(self, namespace: str, name: str, value: bytes) -> None:
        self.namespace = namespace
        self.name = name
        self.value = value
        self._labels: Mapping[str, str] | None = None
        self._fields: Mapping[str, str] = {}
        self._fields_of: Fields | None = None

    def labels(self) -> Mapping[str, str]:
        if self._labels is None:
            self._labels = codec.decode_into(self.value, _Labelled).metadata.labels or {}
        return self._labels

    def fields(self, fields_of: Fields) -> Mapping[str, str]:
        if self._fields_of is not fields_of:
            own = {"metadata.name": self.name, "metadata.namespace": self.namespace}
            self._fields = {**fields_of(codec.decode(self.value)), **own}
            self._fields_of = fields_of
        return self._fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a list or watch selects. An empty namespace is all of them."""

    namespace: str = ""
    labels: Selector = EVERYTHING
    fields: FieldSelector = _ANY_FIELD
    fields_of: Fields = lambda obj: {}

    @property
    def is_open(self) -> bool:
        """True when it selects everything in its namespace."""
        return self.labels.is_empty and self.fields.is_empty

    def matches(self, side: Side) -> bool:
        """Whether this state of an object is selected."""
        if self.namespace and side.namespace != self.namespace:
            return False
        if (name := self.fields.exact("metadata.name")) and side.name != name:
            return False  # without decoding it
        if not self.labels.is_empty and not self.labels.matches(side.labels()):
            return False
        return self.fields.is_empty or self.fields.matches(side.fields(self.fields_of))


class Shape(Enum):
    """What an event shows of its object."""

    OBJECT = "object"
    METADATA = "metadata"
    TABLE = "table"


def unchanged(line: bytes) -> bytes:
    """The opening of forms whose first event is like all others."""
    return line


@dataclass(frozen=True, slots=True)
class Form:
    """How a client wants objects: the events of forms with one `key` are encoded once for all who share it.

    `opening` completes the first line of an object that a client gets (a table's has its columns).
    """

    key: tuple[str, ...]
    shape: Shape
    encode: Callable[[bytes], bytes]
    opening: Callable[[bytes], bytes] = unchanged


PLAIN = Form((), Shape.OBJECT, lambda value: value)


class TooSlow(Exception):
    """The client did not read its events: end the watch, and it will resume."""


class Progress:
    """How far the watchers of a cache have been offered what the store tells: every event up to `revision`."""

    __slots__ = ("revision",)

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision


class Taken(NamedTuple):
    """What a watcher took. With these lines its client knows everything it selected up to `revision`."""

    lines: list[bytes]
    revision: int
    has_ended: bool = False


class Watcher:
    """One watch's place in the fan-out: `wait` until something has come, then `take` it."""

    __slots__ = ("_bytes", "_cut", "_ended", "_pending", "_progress", "_wake", "filter", "form")

    def __init__(self, filter_: Filter, form: Form, progress: Progress) -> None:
        self.filter = filter_
        self.form = form
        self._progress = progress
        self._pending: list[bytes] = []
        self._bytes = 0
        self._cut = False
        self._ended = False
        self._wake = asyncio.Event()

    def offer(self, encoded: bytes) -> None:
        if self._cut or self._ended:
            return
        self._pending.append(encoded)
        self._bytes += len(encoded)
        if self._bytes > _PENDING_BYTES_MAX or len(self._pending) > _PENDING_EVENTS_MAX:
            self._cut = True
            self._pending.clear()
        self._wake.set()

    def end(self) -> None:
        """Let the watch end once it has taken what came before."""
        self._ended = True
        self._wake.set()

    async def wait(self) -> None:
        """Wait until there is something to take, too much has waited, or it is over."""
        await self._wake.wait()

    def take(self) -> Taken:
        """All that has come, maybe nothing; raises `TooSlow` once too much waited.

        Lines and revision are read in one go: a revision read at any other time could be ahead of the lines.
        """
        self._wake.clear()
        if self._cut:
            raise TooSlow
        lines, self._pending, self._bytes = self._pending, [], 0
        return Taken(lines, self._progress.revision, self._ended)


def encode_event(type_: str, encoded: bytes) -> bytes:
    """One line of a watch's answer."""
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), encoded)


class Watchers:
    """All watchers of one resource, found by what they ask for: an event costs what it concerns, not how many watch."""

    def __init__(self, progress: Progress, indexes: Sequence[str] = ()) -> None:
        self._progress = progress
        self._indexes = tuple(indexes)
        self._anywhere: dict[Watcher, None] = {}
        self._by_namespace: dict[str, dict[Watcher, None]] = {}
        self._by_name: dict[str, dict[Watcher, None]] = {}
        # By field and value, of the fields that the collection has an index of.
        self._by_index: dict[tuple[str, str], dict[Watcher, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def join(self, filter_: Filter, form: Form) -> Watcher:
        """A watcher that is offered every event from here on, until `remove`."""
        watcher = Watcher(filter_, form, self._progress)
        home, key = self._home(filter_)
        home.setdefault(key, {})[watcher] = None
        self._count += 1
        return watcher

    def remove(self, watcher: Watcher) -> None:
        """Let it go; safe to repeat."""
        home, key = self._home(watcher.filter)
        there = home.get(key)
        if there is not None and watcher in there:
            del there[watcher]
            self._count -= 1
            if not there and key:
                del home[key]

    def publish(self, event: Event, indexed: Iterable[tuple[str, str]] = ()) -> None:
        """Hand an event to whom it concerns; `indexed` are the values of indexed fields, those before it too."""
        if not self._count:
            return
        concerned: list[Iterable[Watcher]] = [self._anywhere]
        if there := self._by_namespace.get(event.namespace):
            concerned.append(there)
        if there := self._by_name.get(event.name):
            concerned.append(there)
        for one in indexed:
            if there := self._by_index.get(one):
                concerned.append(there)
        fanned = Fanned(event)
        for group in concerned:
            for watcher in group:
                encoded = fanned.seen_by(watcher.filter, watcher.form)
                if encoded is not None:
                    watcher.offer(encoded)

    def _home(self, filter_: Filter) -> tuple[dict[Any, dict[Watcher, None]], Any]:
        name = filter_.fields.exact("metadata.name")
        if name:
            return self._by_name, name
        for field in self._indexes:
            if value := filter_.fields.exact(field):
                return self._by_index, (field, value)
        if filter_.namespace:
            return self._by_namespace, filter_.namespace
        return {"": self._anywhere}, ""


class Fanned:
    """One event on its way to many: decoded once, encoded once per form."""

    __slots__ = ("_encoded", "_event", "_new", "_old")

    def __init__(self, event: Event) -> None:
        self._event = event
        self._new = Side(event.namespace, event.name, event.value)
        self._old = Side(event.namespace, event.name, event.old) if event.old is not None else None
        self._encoded: dict[tuple[tuple[str, ...], EventType], bytes] = {}

    def seen_by(self, filter_: Filter, form: Form) -> bytes | None:
        """The line that a watcher gets: what an object's coming into or going out of its selection looks like."""
        type_ = self._type_for(filter_)
        if type_ is None:
            return None
        line = self._encoded.get((form.key, type_))
        if line is None:
            line = self._encoded[form.key, type_] = encode_event(type_, form.encode(self._shown(type_)))
        return line

    def _type_for(self, filter_: Filter) -> EventType | None:
        event = self._event
        if filter_.namespace and filter_.namespace != event.namespace:
            return None
        if filter_.is_open:
            return event.type
        was = self._old is not None and filter_.matches(self._old)
        is_ = event.type != "DELETED" and filter_.matches(self._new)
        if is_:
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else None

    def _shown(self, type_: EventType) -> bytes:
        event = self._event
        if type_ == "DELETED" and event.type != "DELETED":
            assert event.old is not None
            return restamp(event.old, event.revision)
        return event.value
