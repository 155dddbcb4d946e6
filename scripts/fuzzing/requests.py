"""Requests as nobody's client library would send them, drawn from a seed: every kind, verb, body, query and header."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from orchestrator.api import codec, yaml_text
from orchestrator.api.kinds import BUILT_IN, Kind
from orchestrator.api.objects import Object
from scripts.fuzzing.objects import ODD, an_object, paths, spoil

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_NAMES = ("a", "b", "c", "a", "b", "c", "a", "b", "c", "default", "x-1", "A_", "..", "%2F", "a" * 254, "é")
_SUBRESOURCES = (
    "",
    "",
    "",
    "",
    "status",
    "scale",
    "binding",
    "eviction",
    "token",
    "approval",
    "finalize",
    "resize",
    "x",
)
# These are handed on to nodes, whose addresses come from the fuzzer itself: only for pods that are not there.
_FORWARDED = ("log", "exec", "attach", "portforward", "proxy")
_QUERY_WORDS = (
    "", "0", "1", "true", "false", "yes", "x", "-1", "1_0", "99999999999999999999", "All", "Strict", "Warn", "Ignore",
    "NotOlderThan", "Exact", "Background", "Foreground", "Orphan", "app=web", "a in (b,c),!d", "((", "metadata.name=a",
    "spec.nodeName=n", "status.phase!=x", "eyJydiI6MSwic3RhcnQiOiIvYSJ9", "\u0000", "é", "%", "Metadata", "Object",
    "a" * 300,
)  # fmt: skip
_PARAMETERS = (
    "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "dryRun",
    "fieldValidation", "fieldManager", "force", "pretty", "gracePeriodSeconds", "propagationPolicy", "orphanDependents",
    "includeObject", "allowWatchBookmarks", "sendInitialEvents", "timeoutSeconds", "exact", "export", "odd",
)  # fmt: skip
_ACCEPTS = (
    "", "*/*", JSON, YAML, PROTOBUF, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "text/html",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", ";;q=,",
    "application/json;as=PartialObjectMetadataList",
    "application/yaml;as=Table;v=v1;g=meta.k8s.io", "application/json;q=0.1,application/yaml;q=1e99",
)  # fmt: skip
_PATHS = (
    "/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version", "/healthz", "/readyz/x",
    "/livez?verbose",
    "/openapi/v3", "/openapi/v3/api/v1", "/.well-known/openid-configuration", "/openid/v1/jwks", "/metrics/x", "/x/%00",
    "/api/v1/watch", "/apis/x/v1/y/z", "//api/v1/pods", "/api//v1", "*", "http://x/api/v1/pods",
    "/api/v1/namespaces/a/b/c/d/e/f/g/h/i/j",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: what it is for, and its bytes."""

    about: str
    head: bytes
    body: bytes

    @property
    def size(self) -> int:
        """All its bytes."""
        return len(self.head) + len(self.body)


def a_request(dice: random.Random, token: str) -> Sent:
    """Some request; most have good credentials, for those without get nowhere."""
    if dice.random() < 0.02:
        return _noise(dice)
    if dice.random() < 0.05:
        return _sent(dice, dice.choice(("GET", "GET", "POST", "OPTIONS")), dice.choice(_PATHS), b"", "", token)
    kind = dice.choice(BUILT_IN.rows)
    name = dice.choice(_NAMES)
    path = _path(kind, dice)
    subresource = dice.choice(_SUBRESOURCES) if dice.random() < 0.6 else ""
    if dice.random() < 0.03:
        name, subresource = "missing", dice.choice(_FORWARDED)
    one = f"{path}/{quote(name, safe='%')}" + (f"/{subresource}" if subresource else "")
    match dice.randint(0, 9):
        case 0 | 1 | 2 | 3:
            content_type, body = _body(kind, name, dice)
            target = one if dice.random() < 0.2 else path
            return _sent(dice, "POST", target, body, content_type, token)
        case 4 | 5:
            content_type, body = _body(kind, name, dice)
            return _sent(dice, "PUT", one, body, content_type, token)
        case 6 | 7:
            content_type, body = _patch(kind, name, dice)
            return _sent(dice, "PATCH", one, body, content_type, token)
        case 8:
            options = some_options(dice)
            return _sent(dice, "DELETE", one if dice.random() < 0.8 else path, options, JSON, token)
        case _:
            return _sent(dice, dice.choice(("GET", "GET", "HEAD")), dice.choice((path, one)), b"", "", token)


def _path(kind: Kind, dice: random.Random) -> str:
    namespace = dice.choice(("default", "default", "default", "a", "", "%00"))
    path = kind.resource.path(namespace) if kind.resource.namespaced and namespace else kind.resource.path()
    return path.replace("/v1/", "/v1/watch/", 1) if dice.random() < 0.01 else path


def _body(kind: Kind, name: str, dice: random.Random) -> tuple[str, bytes]:
    obj = an_object(kind, name, dice)
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        spoil(obj, dice)
    way = dice.random()
    if way < 0.1:
        return YAML, _broken(yaml_text.encode(obj), dice)
    if way < 0.2:
        return PROTOBUF, _broken(_protobuf(obj, dice), dice)
    if way < 0.25:
        return dice.choice(("", "text/plain", ";;", PATCHES[0], "application/json; charset=x")), codec.encode(obj)
    if way < 0.3:
        return JSON, json.dumps(obj, indent=dice.randint(0, 3), ensure_ascii=dice.random() < 0.5).encode()
    return JSON, _broken(codec.encode(obj), dice)


def _broken(data: bytes, dice: random.Random) -> bytes:
    """Mostly as it is; sometimes with a byte changed, cut, or something twice."""
    if dice.random() < 0.85 or not data:
        return data
    at = dice.randrange(len(data))
    match dice.randint(0, 3):
        case 0:
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[max(0, at - 30) : at] + data[at:]
        case _:
            return data + data


def _protobuf(obj: Object, dice: random.Random) -> bytes:
    """An envelope of the object's kind around fields of any number and type."""

    def message(depth: int) -> bytes:
        made = b""
        for _ in range(dice.randint(0, 5)):
            number = dice.randint(1, 30)
            match dice.randint(0, 3) if depth else 0:
                case 0:
                    made += _tag(number, 0) + _varint(dice.choice((0, 1, 2**31, 2**63, 2**64 - 1)))
                case 1:
                    text = dice.choice((b"", b"a", b"web", b"\xff", "é".encode()))
                    made += _tag(number, 2) + _varint(len(text)) + text
                case _:
                    inner = message(depth - 1)
                    made += _tag(number, 2) + _varint(len(inner)) + inner
        return made

    meta = _field(1, str(obj.get("apiVersion")).encode()) + _field(2, str(obj.get("kind")).encode())
    return b"k8s\x00" + _field(1, meta) + _field(2, message(6))


def _field(number: int, data: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(data)) + data


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _patch(kind: Kind, name: str, dice: random.Random) -> tuple[str, bytes]:
    obj = an_object(kind, name, dice)
    form = dice.choice((*PATCHES, "application/apply-patch+yaml", JSON))
    if form == PATCHES[0]:
        return form, _broken(codec.encode([_operation(obj, dice) for _ in range(dice.randint(0, 4))]), dice)
    if form == PATCHES[2] and dice.random() < 0.5:
        _direct(obj, dice)
    else:
        spoil(obj, dice)
    return form, _broken(codec.encode(obj), dice)


def _operation(obj: Object, dice: random.Random) -> Object:
    def pointer() -> str:
        found = list(paths(obj)) or [("metadata",)]
        parts = [str(part).replace("~", "~0").replace("/", "~1") for part in dice.choice(found)]
        return "/" + "/".join(parts) + dice.choice(("", "", "", "/-", "/0", "/-1", "~", "/x"))

    made: Object = {"op": dice.choice(("add", "remove", "replace", "test", "copy", "move", "twist")), "path": pointer()}
    if dice.random() < 0.8:
        made["from"] = pointer()
    if dice.random() < 0.8:
        made["value"] = dice.choice(ODD)
    if dice.random() < 0.05:
        made[dice.choice(("op", "path", "from"))] = dice.choice(ODD)
    return made


def _direct(obj: Object, dice: random.Random) -> None:
    """Put a directive of strategic merge somewhere."""
    found = [path for path in paths(obj) if dice.random() < 0.3] or [()]
    target: object = obj
    for key in dice.choice(found):
        target = target[key]  # type: ignore[index]  # a path of the object
    if isinstance(target, dict):
        key = dice.choice(
            ("$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers")
        )
        target[key] = copy.deepcopy(dice.choice((*ODD, "delete", "replace", "merge", [{"name": "c"}], ["name"])))
    elif isinstance(target, list):
        target.append(dice.choice(({"$patch": "replace"}, {"$patch": "delete", "name": "a"}, {"$patch": "x"})))


def some_options(dice: random.Random) -> bytes:
    """The body of a deletion."""
    if dice.random() < 0.4:
        return b""
    made: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    for name, values in (
        ("gracePeriodSeconds", (0, -1, 2**63 - 1, "x", 30)),
        ("propagationPolicy", ("Orphan", "Background", "Foreground", "x", 1)),
        ("preconditions", ({"uid": "x"}, {"resourceVersion": "1"}, {}, [], None)),
        ("dryRun", (["All"], ["x"], "All", [])),
        ("orphanDependents", (True, False, "x")),
    ):
        if dice.random() < 0.3:
            made[name] = dice.choice(values)
    return _broken(codec.encode(made), dice)


def _sent(dice: random.Random, method: str, target: str, body: bytes, content_type: str, token: str) -> Sent:
    query = [f"{dice.choice(_PARAMETERS)}={quote(dice.choice(_QUERY_WORDS))}" for _ in range(dice.choice((0, 0, 1, 2)))]
    if query:
        target += ("&" if "?" in target else "?") + "&".join(query)
    if dice.random() < 0.02 and method == "GET":
        target += ("&" if "?" in target else "?") + "watch=1&timeoutSeconds=1"
    headers = {"Host": "x", "Authorization": f"Bearer {token}"}
    if dice.random() < 0.02:
        headers["Authorization"] = dice.choice(
            ("Bearer", "Bearer a.b.c", "Bearer e30.e30.e30", "Basic eDp5", "Bearer a\xff")
        )
    if dice.random() < 0.3:
        headers["Accept"] = dice.choice(_ACCEPTS)
    if dice.random() < 0.02:
        user = dice.choice(("system:anonymous", "system:node:n", "é", "x" * 5000))
        headers["Impersonate-User"] = user
        headers["Impersonate-Group"] = dice.choice(("system:masters", "", "a,b"))
    if dice.random() < 0.02:
        headers[dice.choice(("Content-Encoding", "Expect", "If-None-Match", "Upgrade", "X-Odd"))] = dice.choice(
            ("gzip", "100-continue", "SPDY/3.1", "websocket", "a" * 9000)
        )
    if content_type:
        headers["Content-Type"] = content_type
    if body or method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return Sent(f"{method} {target[:120]} {content_type}", head, body)


def _noise(dice: random.Random) -> Sent:
    """What is no HTTP, or hardly."""
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: dice.randbytes(dice.randint(1, 200)) + b"\r\n\r\n",
        lambda: b"GET /api HTTP/9.9\r\nHost: x\r\n\r\n",
        lambda: b"GET /api\r\n\r\n",
        lambda: b"GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        lambda: b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda: b"GET /api HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
        lambda: b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        lambda: b"GET /api HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
        lambda: b"GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    return Sent("noise", dice.choice(ways)(), b"")
