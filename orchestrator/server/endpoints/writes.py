"""POST to a collection, PUT and PATCH of an object or its status."""

from __future__ import annotations

from typing import Any

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.patches import BadPatch, PatchRejected, PatchTooLarge, merge, strategic
from orchestrator.api.patches import json as json_patch
from orchestrator.api.schema.shapes import Schema
from orchestrator.machinery.errors import BadRequest, Invalid, NotFound, RequestEntityTooLarge, UnsupportedMediaType
from orchestrator.server import bodies, forms, writes
from orchestrator.server.answers import Answer
from orchestrator.server.authorization.chain import refusal
from orchestrator.server.authorization.questions import attributes_of
from orchestrator.server.core import Call
from orchestrator.server.writes import Prepare, Transform

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


async def create(call: Call) -> Answer:
    """POST to a collection."""
    kind = call.kind
    forms.check(call)
    bodies.check_dry_run(call)
    obj = await bodies.read_object(call, kind.resource.api_version, kind.resource.kind)
    check_place(call, kind, obj)
    if obj["metadata"].get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    stored = await writes.create(call, kind, obj)
    return forms.one(call, kind, stored.value, 201)


async def update(call: Call, *, subresource: str = "", prepare: Prepare = writes.prepare_main) -> Answer:
    """PUT: the body is the new object."""
    kind, name = call.kind, call.request.name
    forms.check(call)
    bodies.check_dry_run(call)
    body = await bodies.read_object(call, kind.resource.api_version, kind.resource.kind)
    check_place(call, kind, body)
    own = body["metadata"].get("name")
    if own and own != name:
        raise BadRequest(f"the name of the object ({own}) does not match the name on the URL ({name})")
    body["metadata"]["name"] = name
    try:
        stored = await writes.change(
            call, kind, lambda old: codec.copied(body), prepare=prepare, subresource=subresource
        )
    except NotFound:
        if kind.strategy.must_exist_for_update or subresource or body["metadata"].get("resourceVersion"):
            raise
        _check_may_create(call)
        stored = await writes.create(call, kind, body)
        return forms.one(call, kind, stored.value, 201)
    return forms.one(call, kind, stored.value)


def _check_may_create(call: Call) -> None:
    """An update that turns out to create needs that permission too."""
    attributes = attributes_of(call.request, call.user, verb="create")
    verdict = call.core.authorizer.authorize(attributes)
    if not verdict.allowed:
        raise refusal(attributes, verdict)


async def patch(call: Call, *, subresource: str = "", prepare: Prepare = writes.prepare_main) -> Answer:
    """PATCH in any of the forms, but for server-side apply."""
    kind = call.kind
    forms.check(call)
    bodies.check_dry_run(call)
    apply = await read_patch(call, kind)
    stored = await writes.change(call, kind, apply, prepare=prepare, subresource=subresource)
    return forms.one(call, kind, stored.value)


async def read_patch(call: Call, kind: Kind) -> Transform:
    """The body as a function that patches an object of this kind and checks what came out."""
    how, body = await read_patch_body(call)

    def apply(old: Object) -> Object:
        return checked_patch(call, kind, old, body, how)

    return apply


async def read_patch_body(call: Call) -> tuple[str, Any]:
    """The body's form and its value. Raises `UnsupportedMediaType` or `BadRequest`."""
    how = bodies.content_type_of(call.http)
    if how not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_PATCH}"
        )
    data = await bodies.read_bytes(call.http)
    try:
        return how, codec.decode_any(data)
    except Malformed as exc:
        raise BadRequest(f"error decoding patch: {exc}") from exc


def checked_patch(call: Call, kind: Kind, old: Object, body: Any, how: str) -> Object:
    """Apply a decoded patch to an object and check what comes out; raises as `apply_patch` and `bodies.clean` do."""
    resource = kind.resource
    obj = apply_patch(old, body, how, call.schema_of(resource.api_version, resource.kind))
    bodies.check_kind(obj, resource.api_version, resource.kind)
    bodies.clean(call, obj, resource.api_version, resource.kind, duplicates=[])
    name = old["metadata"]["name"]
    if obj["metadata"].get("name") != name:
        raise BadRequest(
            f"the name of the object ({obj['metadata'].get('name')}) does not match the name on the URL ({name})"
        )
    return obj


def apply_patch(old: Object, body: Any, how: str, schema: Schema) -> Object:
    """The patched object. Raises `BadRequest`, `Invalid` or `RequestEntityTooLarge`."""
    try:
        if how == JSON_PATCH:
            return json_patch.apply(old, body)
        if how == MERGE_PATCH:
            return merge.apply(old, body)
        return strategic.apply(old, body, schema)
    except PatchTooLarge as exc:
        raise RequestEntityTooLarge(str(exc)) from exc
    except PatchRejected as exc:
        raise Invalid(str(exc), details={}) from exc
    except BadPatch as exc:
        raise BadRequest(str(exc)) from exc


def check_place(call: Call, kind: Kind, obj: Object) -> None:
    """See that the object's namespace is the URL's, and fill it in."""
    if not kind.resource.namespaced:
        return
    namespace, own = call.request.namespace, obj["metadata"].get("namespace")
    if own and own != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    obj["metadata"]["namespace"] = namespace
