"""Patches: from a request's body to an object changed and checked, or the refusal that says what is wrong.

A refusal shows what the sender wrote, and nothing of the object: who may patch need not be allowed to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.api import codec, problems
from orchestrator.api.codec import Malformed
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.patches import BadPatch, PatchRejected, PatchTooLarge, merge, strategic
from orchestrator.api.patches import json as json_patch
from orchestrator.api.schema.shapes import Schema
from orchestrator.machinery.errors import BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType
from orchestrator.server import bodies
from orchestrator.server.core import Call

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
# Of a patch that does not fit, this much is shown.
_SHOWN_MAX = 256


@dataclass(frozen=True, slots=True)
class Patch:
    """A decoded patch: its form, its value, the paths of its repeated keys, and the beginning of its text."""

    form: str
    value: Any
    duplicates: Sequence[str]
    shown: str
    size: int


async def read(call: Call) -> Patch:
    """The body as a patch. Raises `UnsupportedMediaType` or `BadRequest`."""
    form = bodies.content_type_of(call.http)
    if form not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_PATCH}"
        )
    data = call.body
    if bodies.is_large(len(data)):
        return await call.core.large.call(_decoded, form, data, bodies.field_validation(call))
    return _decoded(form, data, bodies.field_validation(call))


def _decoded(form: str, data: bytes, validation: str) -> Patch:
    try:
        value = codec.decode_any(data)
    except Malformed as exc:
        raise BadRequest(f"error decoding patch: {exc}") from exc
    duplicates: Sequence[str] = ()
    if validation != "Ignore" and isinstance(value, (dict, list)):
        duplicates = codec.duplicate_fields(data, value)
    return Patch(form, value, duplicates, data[:_SHOWN_MAX].decode("utf-8", "replace"), len(data))


def transform_of(call: Call, kind: Kind, patch: Patch) -> Callable[[Object], Object]:
    """The patch as a function of an object of this kind; raises as `applied` does."""
    resource = kind.resource

    def transform(old: Object) -> Object:
        obj = applied(call, patch, old, resource.api_version, resource.kind)
        if not obj["metadata"].get("name"):
            raise BadRequest(f"the name of the object () does not match the name on the URL ({call.request.name})")
        bodies.check_named(call, kind, obj)
        return obj

    return transform


def applied(call: Call, patch: Patch, old: Object, api_version: str, kind: str) -> Object:
    """The patched object, checked and clean; `old` is left as it is.

    Raises `BadRequest`, `Invalid` or `RequestEntityTooLarge`.
    """
    schema = call.schema_of(api_version, kind)
    obj = _patched(patch, old, schema)
    validation = bodies.field_validation(call)
    try:
        bodies.check_kind(obj, api_version, kind)
        findings = bodies.cleaned(obj, api_version, kind, schema)
    except BadRequest as exc:
        raise _misfit(patch, exc.message) from exc
    of_patch = [f'duplicate field "{path}"' for path in patch.duplicates]
    if patch.form == JSON_PATCH:
        of_patch = [f"json patch {sentence}" for sentence in of_patch]
    findings = replace(findings, of_patch=of_patch)
    if validation == "Strict" and findings:
        raise _misfit(patch, f"strict decoding error: {', '.join(findings.as_errors())}")
    if validation == "Warn":
        call.warn(*findings.as_warnings())
    return obj


def _patched(patch: Patch, old: Object, schema: Schema) -> Object:
    try:
        if patch.form == JSON_PATCH:
            return json_patch.apply(old, patch.value)
        if patch.form == MERGE_PATCH:
            return merge.apply(old, patch.value)
        return strategic.apply(old, patch.value, schema)
    except PatchTooLarge as exc:
        raise RequestEntityTooLarge(str(exc)) from exc
    except PatchRejected as exc:
        # Kubernetes' message has no more; why is a cause of its own, which kubectl prints.
        cause = {"reason": "FieldValueInvalid", "message": str(exc), "field": "patch"}
        message = "the server rejected our request due to an error in our request"
        raise Invalid(message, details={"causes": [cause]}) from exc
    except BadPatch as exc:
        raise BadRequest(str(exc)) from exc


def _misfit(patch: Patch, why: str) -> Invalid:
    """What the patch makes is no object of the kind. Kubernetes prints all of that object; we print the patch."""
    return Invalid.of(group="", kind="", name="", problems=[problems.invalid("patch", patch.shown, why)])
