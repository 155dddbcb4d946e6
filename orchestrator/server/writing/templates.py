"""Creates whose object, but for its name, was seen before take the outcome of the stages from last time.

Correct by construction: a template is made only of two decisions that differ in nothing but what is the object's own
(names, uid, times, random suffixes) and by which everything else came out the same; its key holds all that the stages
say they read, the objects that they did read are compared again at every use, and a stage that does not say what it
reads, or reads the name, switches it off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import IntEnum
from random import Random

import msgspec

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from orchestrator.api.doors import MAIN
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.machinery.errors import ApiError
from orchestrator.server.admission.base import Admission, Objects
from orchestrator.server.admission.reads import Reads
from orchestrator.server.dice import Dice, thrown
from orchestrator.server.watch_cache import key_of
from orchestrator.server.writing.decide import Commit, decide, mutate
from orchestrator.server.writing.facts import Facts, Read, Recorded, is_current
from orchestrator.server.writing.metadata import generated_name
from orchestrator.server.writing.stages import BEFORE, DECIDING
from orchestrator.store.base import Put

# Some thousands of templates: more than a cluster's owners of pods have in use at once.
_BYTES_MAX = 16 << 20
# A longer object is likely to be the only one of its sort, and its template would take long to make.
_BODY_BYTES_MAX = 16 << 10
# Kinds that were asked about: far more than are served at once.
_KINDS_MAX = 1024
# Keys that were met once; they cost their hash alone.
_MET_MAX = 8192
# Years in which nobody creates anything, so that a time of theirs within an object is the one that we put there.
_NEVER = (32_503_680_000, 35_659_440_000)


class _Body(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    apiVersion: str
    kind: str
    metadata: msgspec.Raw
    spec: msgspec.Raw
    status: msgspec.Raw | None = None


class Sketch(msgspec.Struct, frozen=True, gc=False):
    """A body taken apart: what it says but for its name, and the name, empty if one is to be generated."""

    rest: tuple[bytes, bytes, bytes]
    name: str
    prefix: str


def sketch(data: bytes, kind: Kind) -> Sketch | None:
    """Take a body apart; None for one that is not plain: other fields, blanks, repeated keys, not the right shape."""
    if len(data) > _BODY_BYTES_MAX:
        return None
    try:
        body = codec.decode_into(data, _Body)
        raw = bytes(body.metadata)
        metadata = codec.decode(raw)
    except Malformed:
        return None
    resource = kind.resource
    if body.apiVersion != resource.api_version or body.kind != resource.kind or codec.encode(metadata) != raw:
        return None
    spec, status = bytes(body.spec), bytes(body.status) if body.status is not None else b""
    # A repeated key, or a blank, makes it longer.
    plain = len('{"apiVersion":"","kind":"","metadata":,"spec":}') + len(body.apiVersion) + len(body.kind)
    plain += len(raw) + len(spec) + (len(',"status":') + len(status) if status else 0)
    if len(data.rstrip()) != plain:
        return None
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if name is None and isinstance(prefix, str) and prefix:
        return Sketch((raw, spec, status), "", prefix)
    if not isinstance(name, str) or not name or prefix is not None:
        return None
    metadata["name"] = ""
    return Sketch((codec.encode(metadata), spec, status), name, "")


class _Own(IntEnum):
    """What stands in the gaps of a template."""

    NAME = 0
    UID = 1
    TIME = 2
    VOLUME_SUFFIX = 3


class Template(msgspec.Struct, frozen=True, gc=False):
    """An object as it is stored, with gaps: before each of `gaps`, the piece of `pieces`; one more piece at the end."""

    pieces: tuple[bytes, ...]
    gaps: tuple[_Own, ...]
    read: Read

    def filled(self, name: str, facts: Facts) -> bytes:
        """The object of this name, with these facts."""
        dice = facts.dice
        own = (name.encode(), dice.uid().encode(), facts.timestamp.encode(), dice.volume_suffix().encode())
        parts: list[bytes] = []
        for piece, gap in zip(self.pieces, self.gaps, strict=False):
            parts.append(piece)
            parts.append(own[gap])
        parts.append(self.pieces[-1])
        return b"".join(parts)


def may_have_templates(kind: Kind, admission: Admission) -> bool:
    """Whether every stage of creating this kind says what it reads, and what is left to do is the object's own."""
    if kind.claims or kind.conversion is not None or not kind.strategy.knows_plain_names:
        return False
    says = getattr(admission, "reads_of", None)
    reads = says(kind) if says is not None else None
    if reads is None or reads & (Reads.NAME | Reads.CLOCK):
        return False
    return all(stage.reads is not None for stage in (*BEFORE, *DECIDING))


def learned(
    kind: Kind, seen: Sketch, understood: Callable[[], Object], facts: Facts, chance: Random
) -> Template | None:
    """The template of what was sketched, if there is one; `understood` gives the object as its body says it, anew."""
    tries = [_tried(kind, seen, understood(), facts, chance, now=now) for now in _NEVER]
    first, second = tries
    return first if first is not None and first == second else None


def _tried(kind: Kind, seen: Sketch, obj: Object, facts: Facts, chance: Random, *, now: float) -> Template | None:
    recorded, dice = Recorded(facts.objects), thrown(chance)
    own = msgspec.structs.replace(facts, now=now, dice=dice, objects=recorded)
    if seen.name:
        obj["metadata"]["name"] = f"n{dice.uid().replace('-', '')}"
    try:
        mutate(kind, MAIN, None, obj, own)
        decision = decide(kind, MAIN, None, obj, own)
    except ApiError:
        return None
    if not isinstance(decision, Commit) or decision.warnings or not recorded.is_whole:
        return None
    if not kind.strategy.is_plain_name(obj["metadata"]["name"]):
        return None
    return _cut(decision.shown, obj["metadata"]["name"], own.timestamp, dice, recorded.all)


def _cut(value: bytes, name: str, time: str, dice: Dice, read: Read) -> Template | None:
    """Cut an object where its own values are; None if one of them is where nobody expects it."""
    places: list[tuple[int, int, _Own]] = []
    for before, text, after, own in (
        (b'"name":"', name.encode(), b'"', _Own.NAME),
        (b'"uid":"', dice.uid().encode(), b'"', _Own.UID),
        (b'"creationTimestamp":"', time.encode(), b'"', _Own.TIME),
    ):
        if value.count(text) != 1 or value.count(before + text + after) != 1:
            return None
        start = value.index(text)
        places.append((start, start + len(text), own))
    suffix = dice.volume_suffix().encode()
    start = value.find(suffix)
    while start >= 0:
        places.append((start, start + len(suffix), _Own.VOLUME_SUFFIX))
        start = value.find(suffix, start + len(suffix))
    places.sort()
    pieces: list[bytes] = []
    end = 0
    for start, stop, _ in places:
        if start < end:
            return None
        pieces.append(value[end:start])
        end = stop
    return Template((*pieces, value[end:]), tuple(own for _, _, own in places), read)


class Templates:
    """Templates in use, the latest used last; bounded in bytes."""

    def __init__(self, admission: Admission, chance: Random) -> None:
        self._admission = admission
        self._chance = chance
        self._allowed: dict[Hashable, bool] = {}
        self._known: OrderedDict[Hashable, tuple[Template, int]] = OrderedDict()
        self._met: OrderedDict[int, None] = OrderedDict()
        self.bytes = 0

    def allow(self, kind: Kind, generation: int) -> bool:
        """Whether a kind, of this generation of the table of kinds, may have templates at all."""
        row = kind.resource.group, kind.resource.version, kind.resource.plural, generation
        allowed = self._allowed.get(row)
        if allowed is None:
            if len(self._allowed) > _KINDS_MAX:
                self._allowed.clear()
            allowed = self._allowed[row] = may_have_templates(kind, self._admission)
        return allowed

    def find(self, key: Hashable, objects: Objects) -> Template | None:
        """The template of a key, if all that it was made of is as it was."""
        found = self._known.get(key)
        if found is None:
            return None
        template, size = found
        if not is_current(template.read, objects):
            del self._known[key]
            self.bytes -= size
            return None
        self._known.move_to_end(key)
        return template

    def meet(self, key: Hashable, kind: Kind, seen: Sketch, understood: Callable[[], Object], facts: Facts) -> None:
        """Note that such an object was created; the second time, its template is made."""
        met = hash(key)
        if met not in self._met:
            self._met[met] = None
            if len(self._met) > _MET_MAX:
                self._met.popitem(last=False)
            return
        del self._met[met]
        template = learned(kind, seen, understood, facts, self._chance)
        if template is None:
            return
        size = sum(map(len, seen.rest)) + sum(map(len, template.pieces))
        size += sum(len(value or b"") for *_, value in template.read)
        self._known[key] = template, size
        self.bytes += size
        while self.bytes > _BYTES_MAX:
            _, (_, size) = self._known.popitem(last=False)
            self.bytes -= size


def key_of_create(kind: Kind, generation: int, seen: Sketch, facts: Facts) -> Hashable:
    """All that the outcome of a create depends on, but for what is the object's own and the objects that are read."""
    user = facts.user
    extra = tuple(sorted((key, tuple(values)) for key, values in user.extra.items())) if user.extra else ()
    options = tuple(sorted(facts.options.items())) if facts.options else ()
    who = (user.name, user.groups, user.uid, extra)
    resource = kind.resource
    return (resource.group, resource.version, resource.plural, generation, facts.namespace, who, options, seen.rest)


def created(kind: Kind, template: Template, seen: Sketch, facts: Facts) -> Commit:
    """The decision that all stages would come to. The name is plain: of a prefix, all names are as the first was."""
    name = seen.name or generated_name(seen.prefix, facts.dice)
    key = key_of(kind.storage, facts.namespace if kind.resource.namespaced else "", name)
    value = template.filled(name, facts)
    return Commit((Put(key, value),), {key: 0}, value)
