"""What an input costs: the CPU that sizes and their doubles take, so that nothing quadratic stays unseen."""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from node_agent.kubelet.spdy import BadFrame, Framer
from orchestrator.api import codec, selectors, yaml_text
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.patches import BadPatch, merge, strategic
from orchestrator.api.patches import json as json_patch
from orchestrator.api.schema.served import schema_of_kind
from orchestrator.machinery.errors import ApiError
from orchestrator.server import bodies, warnings
from orchestrator.server.protobuf import decoder as protobuf
from orchestrator.server.requests import parse
from scripts.fuzzing.objects import Crowd, crowds

#: Twice the size may take this much longer: sorting and caches make it a little more than twice.
RATIO_MAX = 3.2
#: Below this, the clock says more about the machine than about us.
_NOTICEABLE_S = 0.02
_SMALL, _LARGEST = 500, 64_000
_SIZE_MAX = 3 << 20  # of a body


@dataclass(frozen=True, slots=True)
class Cost:
    """One input at its largest: how long it took, and how much longer than one of half the size."""

    name: str
    size: int
    seconds: float
    ratio: float
    ratio_before: float

    @property
    def is_steep(self) -> bool:
        """Whether it grows faster than its size: at two doublings, for a cache that is full slows down one."""
        return self.seconds > _NOTICEABLE_S and self.ratio > RATIO_MAX and self.ratio_before > RATIO_MAX

    @property
    def nanoseconds_a_byte(self) -> float:
        """The CPU that one byte of it takes."""
        return self.seconds / max(self.size, 1) * 1e9

    def __str__(self) -> str:
        return f"{self.name}: {self.size:,} bytes, {self.seconds * 1000:.0f} ms, x{self.ratio:.1f} at twice the size"


@dataclass(frozen=True, slots=True)
class Input:
    """Something that grows: `make(count)` gives its size in bytes and what is to be done with it."""

    name: str
    make: Callable[[int], tuple[int, Callable[[], object]]]


def measured(one: Input, *, limit_s: float = 1.0) -> Cost:
    """Double the input until it takes `limit_s` of CPU, or is as large as a request may be."""
    count, previous, ratio, ratio_before = _SMALL, 0.0, 1.0, 1.0
    while True:
        size, run = one.make(count)
        took = min(timed(run) for _ in range(2))
        if previous > _NOTICEABLE_S / 10:
            ratio, ratio_before = took / previous, ratio
        if took > limit_s or count >= _LARGEST or size > _SIZE_MAX:
            return Cost(one.name, size, took, ratio, ratio_before)
        count, previous = count * 2, took


def timed(run: Callable[[], object]) -> float:
    """The CPU that it takes, a refusal included."""
    gc.collect()
    gc.disable()  # what else is alive is none of this input's doing
    began = time.process_time()
    with contextlib.suppress(ApiError, BadPatch, BadFrame, codec.Malformed, selectors.BadSelector):
        run()  # refusals have a cost, too
    took = time.process_time() - began
    gc.enable()
    return took


def inputs() -> Iterator[Input]:
    """All that is known to grow with what somebody sends."""
    for crowd in crowds():
        for alike in (True, False):
            yield Input(f"{crowd} {'alike' if alike else 'different'}", _object(crowd, alike=alike))
    yield from _texts()
    yield from _patches()
    yield from _frames()


def _object(crowd: Crowd, *, alike: bool) -> Callable[[int], tuple[int, Callable[[], object]]]:
    resource, strategy = crowd.kind.resource, crowd.kind.strategy
    schema = schema_of_kind(BUILT_IN, resource.api_version, resource.kind)

    def make(count: int) -> tuple[int, Callable[[], object]]:
        base = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "x"}, "odd": 1}
        data = codec.encode(crowd.filled(base, count, alike=alike))

        def run() -> None:
            obj, findings = bodies.understood(
                data, "application/json", resource.api_version, resource.kind, schema, "Warn"
            )
            warnings.headers_of(findings.as_warnings())
            strategy.prepare_create(obj)
            strategy.default(obj)
            old = codec.copied(obj)
            strategy.validate_create(obj)
            strategy.warnings(obj, None)
            strategy.prepare_update(obj, old)
            strategy.default(obj)
            strategy.validate_update(obj, old)
            strategy.selectable_fields(obj)

        return len(data), run

    return make


def _texts() -> Iterator[Input]:
    def text(name: str, make: Callable[[int], str], run: Callable[[str], object]) -> Input:
        def made(count: int) -> tuple[int, Callable[[], object]]:
            given = make(count)
            return len(given), lambda: run(given)

        return Input(name, made)

    def query(target: str) -> object:
        return parse(BUILT_IN, "GET", target)

    labels, fields = selectors.parse_label_selector, selectors.parse_field_selector
    yield text("selector values", lambda n: f"a in ({','.join(f'v{i}' for i in range(n))})", labels)
    yield text("selector keys", lambda n: ",".join(f"k{i}" for i in range(n)), labels)
    yield text("selector blanks", lambda n: " " * n + "a" + " " * n + ")", labels)
    yield text("selector word", lambda n: "a" * n, labels)
    yield text("field selector", lambda n: ",".join(f"a.b=c{i}" for i in range(n)), fields)
    yield text("field selector escapes", lambda n: "a=" + "\\," * n, fields)
    yield text("field selector bangs", lambda n: "!" * n, fields)
    yield text("query", lambda n: "/api/v1/pods?" + "&".join(f"a{i}=%41" for i in range(n)), query)
    yield text("path", lambda n: "/api/v1/" + "%41/" * n, query)
    yield text("duplicate keys", lambda n: "{" + ",".join('"a":1' for _ in range(n)) + "}", _duplicates)
    yield text("pairs of keys", lambda n: "{" + ",".join(f'"a{i % (n // 2)}":1' for i in range(n)) + "}", _duplicates)
    yield text("YAML keys", lambda n: "\n".join(f"k{i}: 1" for i in range(n)), _yaml)
    yield text("YAML duplicate keys", lambda n: "\n".join("k: 1" for _ in range(n)), _yaml)
    yield text("YAML list", lambda n: f"a: [{'1,' * n}]", _yaml)
    yield text("YAML aliases", lambda n: f"a: &x [{'1,' * 100}]\nb: [{'*x,' * n}]", _yaml)
    yield text("YAML merges", lambda n: "a: &x {k: 1}\n" + "\n".join(f"b{i}: {{<<: *x}}" for i in range(n)), _yaml)
    yield text("YAML quotes", lambda n: "a: '" + "''" * n + "'", _yaml)
    yield text("YAML folded", lambda n: "a: >\n" + "  x\n\n" * n, _yaml)
    yield text("warnings", lambda n: " ".join(f"w{i}" for i in range(n)), lambda t: warnings.headers_of(t.split()))


def _duplicates(text: str) -> object:
    data = text.encode()
    return codec.duplicate_fields(data, codec.decode(data))


def _yaml(text: str) -> object:
    return yaml_text.decode(text.encode())


def _patches() -> Iterator[Input]:
    schema = schema_of_kind(BUILT_IN, "v1", "Pod")

    def patch(name: str, make: Callable[[int], object], apply: Callable[[object, int], object]) -> Input:
        def made(count: int) -> tuple[int, Callable[[], object]]:
            given = make(count)
            return len(codec.encode(given)), lambda: apply(given, count)

        return Input(name, made)

    def containers(count: int) -> dict[str, object]:
        return {"metadata": {}, "spec": {"containers": [{"name": f"c{i}", "image": "i"} for i in range(count)]}}

    def reversed_order(count: int) -> dict[str, object]:
        order = [{"name": f"c{i}"} for i in reversed(range(count))]
        return {"spec": {"$setElementOrder/containers": order, "containers": order}}

    def strategically(given: object, count: int) -> object:
        return strategic.apply(containers(count), given, schema)

    yield patch("strategic merge", containers, strategically)
    yield patch("strategic order", reversed_order, strategically)
    yield patch(
        "strategic delete",
        lambda n: {"spec": {"containers": [{"name": f"c{i}", "$patch": "delete"} for i in range(n)]}},
        strategically,
    )
    yield patch(
        "strategic primitive list",
        lambda n: {"metadata": {"$deleteFromPrimitiveList/finalizers": [f"f{i}" for i in range(n)]}},
        lambda given, n: strategic.apply({"metadata": {"finalizers": [f"f{i}" for i in range(n)]}}, given, schema),
    )
    yield patch("merge", containers, lambda given, n: merge.apply(containers(n), given))
    yield patch(
        "JSON patch at the head",
        lambda n: [{"op": "add", "path": "/spec/containers/0", "value": {}}] * n,
        lambda given, n: json_patch.apply(containers(n), given),
    )
    yield patch(
        "JSON patch tests",
        lambda n: [{"op": "test", "path": "/spec", "value": containers(1)["spec"]}] * n,
        lambda given, n: json_patch.apply(containers(1), given),
    )
    yield patch(
        "JSON patch copies",
        lambda n: [{"op": "copy", "from": "/spec", "path": "/metadata/x"}] * n,
        lambda given, n: json_patch.apply(containers(5), given),
    )


def _frames() -> Iterator[Input]:
    def wire(name: str, make: Callable[[int], bytes], run: Callable[[bytes], object]) -> Input:
        def made(count: int) -> tuple[int, Callable[[], object]]:
            given = make(count)
            return len(given), lambda: run(given)

        return Input(name, made)

    def message(field: bytes, count: int) -> bytes:
        body = field * count
        head = b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12"
        return head + _varint(len(body)) + body

    def read(data: bytes) -> object:
        return protobuf.decode(data, api_version="v1", kind="Pod")

    yield wire("protobuf unknown fields", lambda n: message(b"\xf8\x07\x01", n), read)
    yield wire("protobuf empty specs", lambda n: message(b"\x12\x00", n), read)
    yield wire("protobuf labels", lambda n: message(b"\x0a\x05\x5a\x03\x0a\x01a", n), read)
    yield wire("protobuf containers", lambda n: message(b"\x12\x05\x12\x03\x0a\x01a", n), read)
    yield wire("SPDY pings", lambda n: Framer().ping(1) * n, lambda data: Framer().feed(data))
    yield wire("SPDY data", lambda n: Framer().data(1, b"x") * n, lambda data: Framer().feed(data))
    yield wire("SPDY in single bytes", lambda n: Framer().data(1, b"x" * n), _byte_by_byte)
    yield wire("SPDY headers", _many_headers, lambda data: Framer().feed(data))


def _many_headers(count: int) -> bytes:
    framer = Framer()
    return framer.open(1, {f"h{number}": "v" for number in range(min(count, 4000))})


def _byte_by_byte(data: bytes) -> object:
    framer = Framer()
    return [framer.feed(data[at : at + 1]) for at in range(len(data))]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def sample(count: int, dice: random.Random) -> list[Input]:
    """Some of the inputs, all of those that are no objects; with `count` 0, all."""
    every = list(inputs())
    objects = [one for one in every if one.name.endswith(("alike", "different"))]
    others = [one for one in every if not one.name.endswith(("alike", "different"))]
    return others + (objects if not count else dice.sample(objects, min(count, len(objects))))
