"""Request bodies: bytes to a checked object, or the 4xx that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from orchestrator.api import codec, yaml_text
from orchestrator.api.codec import Malformed
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.schema import walker
from orchestrator.api.schema.shapes import Schema
from orchestrator.machinery.errors import BadRequest, UnsupportedMediaType
from orchestrator.server.core import Call
from orchestrator.server.protobuf import decoder as protobuf

_SUMMARY_BYTES = 30
# Larger bodies are understood off the event loop: whatever is in less than this takes under ten milliseconds.
_LARGE_BYTES = 64 << 10
_LARGE_YAML_BYTES = 2 << 10
_LARGE_PROTOBUF_BYTES = 8 << 10
_JSON_TYPES = ("", "application/json", "*/*")
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")


def content_type_of(http: web.BaseRequest) -> str:
    """The body's media type without parameters."""
    return http.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_json(call: Call) -> bool:
    """Whether the body is said to be JSON."""
    return content_type_of(call.http) in _JSON_TYPES


async def read_object(call: Call, api_version: str, kind: str) -> Object:
    """The body as a clean object of this kind, with `apiVersion`, `kind` and `metadata` present.

    Raises `BadRequest` for what is malformed, of another kind or of wrong types, and for unknown and duplicate fields
    when the client asked for strictness; otherwise those become warnings. Raises `UnsupportedMediaType`.
    """
    content_type = content_type_of(call.http)
    data = call.body
    validation, schema = field_validation(call), call.schema_of(api_version, kind)
    if is_large(len(data), content_type):
        obj, findings = await call.core.large.call(
            understood, data, content_type, api_version, kind, schema, validation
        )
    else:
        obj, findings = understood(data, content_type, api_version, kind, schema, validation)
    if validation == "Warn":
        call.warn(*findings.as_warnings())
    return obj


def check_place(call: Call, kind: Kind, obj: Object) -> None:
    """See that the object's namespace is the URL's, and fill it in. Raises `BadRequest`."""
    if not kind.resource.namespaced:
        return
    namespace, own = call.request.namespace, obj["metadata"].get("namespace")
    if own and own != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    obj["metadata"]["namespace"] = namespace


def check_named(call: Call, kind: Kind, obj: Object) -> None:
    """See that what was sent is meant for the object of the URL. Raises `BadRequest`."""
    check_place(call, kind, obj)
    name, own = call.request.name, obj["metadata"].get("name")
    if own and own != name:
        raise BadRequest(f"the name of the object ({own}) does not match the name on the URL ({name})")


def is_large(size: int, content_type: str = "") -> bool:
    """Whether to understand, or to judge, so many bytes takes so long that it must not be done on the event loop."""
    if content_type in _YAML_TYPES:
        return size > _LARGE_YAML_BYTES
    return size > (_LARGE_PROTOBUF_BYTES if content_type == protobuf.CONTENT_TYPE else _LARGE_BYTES)


def understood(
    data: bytes, content_type: str, api_version: str, kind: str, schema: Schema, validation: str
) -> tuple[Object, StrictFindings]:
    """A body as a clean object, and what strict decoding finds fault with. Pure, and safe in any thread.

    Raises `BadRequest` and `UnsupportedMediaType` as `read_object` does.
    """
    if not data:
        raise BadRequest(f"the object provided is unrecognized (must be of type {kind}): EOF (empty body)")
    lines: list[str] = []
    try:
        if content_type in _JSON_TYPES:
            obj = codec.decode(data)
        elif content_type in _YAML_TYPES:
            obj, lines = yaml_text.decode(data)
        elif content_type == protobuf.CONTENT_TYPE:
            obj = protobuf.decode(data, api_version=api_version, kind=kind)
        else:
            raise UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: "
                f"application/json, application/yaml, {protobuf.CONTENT_TYPE}"
            )
    except Malformed as exc:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: {exc} ({data[:_SUMMARY_BYTES].hex()} ...)"
        ) from exc
    check_kind(obj, api_version, kind)
    duplicates = codec.duplicate_fields(data, obj) if content_type in _JSON_TYPES and validation != "Ignore" else []
    findings = cleaned(obj, api_version, kind, schema)
    findings = replace(findings, lines=lines, duplicates=duplicates)
    if validation == "Strict" and findings:
        raise BadRequest(
            f'{kind} in version "{api_version.rpartition("/")[2]}" cannot be handled as a {kind}: '
            f"strict decoding error: {', '.join(findings.as_errors())}"
        )
    return obj, findings


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictFindings:
    """What strict decoding finds fault with, and otherwise is worth a warning; false if there is nothing.

    `lines` are the sentences on YAML's repeated keys, `of_patch` those on the patch that made the object; `unknown` and
    `duplicates` are paths.
    """

    lines: Sequence[str] = ()
    of_patch: Sequence[str] = ()
    unknown: Sequence[str] = ()
    duplicates: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.lines or self.of_patch or self.unknown or self.duplicates)

    def as_warnings(self) -> list[str]:
        """One sentence each, as Kubernetes warns."""
        unknown = set(self.unknown)  # a field that nobody knows is not told of twice
        return [
            *self.lines,
            *self.of_patch,
            *(f'unknown field "{path}"' for path in self.unknown),
            *(f'duplicate field "{path}"' for path in self.duplicates if path not in unknown),
        ]

    def as_errors(self) -> list[str]:
        """The parts of the one error of strict decoding; those of YAML are one part, over several lines."""
        said = self.as_warnings()
        if not self.lines:
            return said
        return ["yaml: unmarshal errors:\n  " + "\n  ".join(self.lines), *said[len(self.lines) :]]


def check_kind(obj: Object, api_version: str, kind: str) -> None:
    """See that the object says it is what it is sent as; what it leaves out is filled in."""
    own_version = obj.setdefault("apiVersion", api_version) or api_version
    own_kind = obj.setdefault("kind", kind) or kind
    if own_kind != kind:
        version = str(own_version).rpartition("/")[2]
        raise BadRequest(
            f'{own_kind} in version "{version}" cannot be handled as a {kind}: '
            f'no kind "{own_kind}" is accepted here, only {kind} of {api_version}'
        )
    if own_version != api_version:
        raise BadRequest(
            f"the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )
    obj["apiVersion"], obj["kind"] = api_version, kind


def cleaned(obj: Object, api_version: str, kind: str, schema: Schema) -> StrictFindings:
    """Check an object's types against its schema and prune it, in place. Raises `BadRequest` for wrong types."""
    checked = walker.check(schema, obj)
    version = api_version.rpartition("/")[2]
    if checked.problems:
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {checked.problems[0].message}')
    # What is a struct in Go is always there, and strategies count on it.
    if obj.get("metadata") is None:
        obj["metadata"] = {}
    if "spec" in schema.properties and obj.get("spec") is None:
        obj["spec"] = {}
    return StrictFindings(unknown=checked.unknown)


def field_validation(call: Call) -> str:
    """The client's `fieldValidation`: Strict, Warn or Ignore."""
    return call.request.query.get("fieldValidation") or "Warn"


async def read_optional(call: Call) -> dict[str, Any]:
    """The body of a deletion: its options, empty if there is no body."""
    content_type = content_type_of(call.http)
    data = call.body
    if not data:
        return {}
    try:
        if content_type == protobuf.CONTENT_TYPE:
            options = protobuf.decode(data, api_version="v1", kind="DeleteOptions")
        else:
            options = yaml_text.decode(data)[0] if content_type in _YAML_TYPES else codec.decode(data)
    except Malformed as exc:
        raise BadRequest(f"unable to decode the body as DeleteOptions: {exc}") from exc
    checked = walker.check(call.schema_of("meta.k8s.io/v1", "DeleteOptions"), options)
    if checked.problems:
        raise BadRequest(f"unable to decode the body as DeleteOptions: {checked.problems[0].message}")
    if options.get("kind", "") not in ("", "DeleteOptions"):
        raise BadRequest("decoded object cannot be converted to DeleteOptions")
    return options
