"""POST to a collection, PUT and PATCH of an object or its status."""

from __future__ import annotations

from collections.abc import Hashable

from orchestrator.api import codec
from orchestrator.api.doors import MAIN, Writes
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.machinery.errors import BadRequest, NotFound
from orchestrator.server import bodies, forms, metrics, patching, refusals
from orchestrator.server.answers import Answer
from orchestrator.server.authorization.chain import refusal
from orchestrator.server.authorization.questions import attributes_of
from orchestrator.server.core import Call
from orchestrator.server.writing import shell, templates
from orchestrator.server.writing.templates import Sketch


async def create(call: Call) -> Answer:
    """POST to a collection."""
    kind, known = call.kind, call.core.templates
    forms.check(call)
    seen = _sketch(call, kind)
    key: Hashable = None
    if seen is not None:
        facts = shell.facts_of(call)
        key = templates.key_of_create(kind, call.kinds.generation, seen, facts)
        if (template := known.find(key, call.core.cache)) is not None:
            created = await shell.create_from(call, kind, template, seen, facts)
            if created is not None:
                metrics.TEMPLATED.inc()
                return forms.one(call, kind, created.value, 201)
    obj = await bodies.read_object(call, kind.resource.api_version, kind.resource.kind)
    _check_new(call, kind, obj)
    stored = await shell.create(call, kind, obj)
    if seen is not None and not call.warnings:
        known.meet(key, kind, seen, lambda: _again(call, kind), shell.facts_of(call))
    return forms.one(call, kind, stored.value, 201)


def _sketch(call: Call, kind: Kind) -> Sketch | None:
    """The body taken apart, if it may be created by template."""
    if call.is_dry_run or not call.core.templates.allow(kind, call.kinds.generation) or not bodies.is_json(call):
        return None
    seen = templates.sketch(call.body, kind)
    return None if seen is None or (seen.name and not kind.strategy.is_plain_name(seen.name)) else seen


def _check_new(call: Call, kind: Kind, obj: Object) -> None:
    bodies.check_place(call, kind, obj)
    if obj["metadata"].get("resourceVersion", "") not in ("", "0"):
        raise BadRequest("resourceVersion should not be set on objects to be created")


def _again(call: Call, kind: Kind) -> Object:
    """The object that the body says, once more."""
    resource = kind.resource
    obj, _ = bodies.understood(
        call.body,
        bodies.content_type_of(call.http),
        resource.api_version,
        resource.kind,
        call.schema_of(resource.api_version, resource.kind),
        bodies.field_validation(call),
    )
    _check_new(call, kind, obj)
    return obj


async def update(call: Call, *, door: Writes = MAIN) -> Answer:
    """PUT: the body is the new object."""
    kind, name = call.kind, call.request.name
    forms.check(call)
    body = await bodies.read_object(call, kind.resource.api_version, kind.resource.kind)
    bodies.check_named(call, kind, body)
    body["metadata"]["name"] = name
    try:
        stored = await shell.change(call, kind, lambda old: codec.copied(body), door=door)
    except NotFound:
        if kind.strategy.must_exist_for_update or door.name or (body["metadata"].get("resourceVersion") or "0") != "0":
            raise
        _check_may_create(call)
        if uid := body["metadata"].get("uid"):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            raise refusals.conflict(kind.resource, name, why) from None
        stored = await shell.create(call, kind, body)
        return forms.one(call, kind, stored.value, 201)
    return forms.one(call, kind, stored.value)


def _check_may_create(call: Call) -> None:
    """An update that turns out to create needs that permission too."""
    attributes = attributes_of(call.request, call.user, verb="create")
    verdict = call.core.authorizer.authorize(attributes)
    if not verdict.allowed:
        raise refusal(attributes, verdict)


async def patch(call: Call, *, door: Writes = MAIN) -> Answer:
    """PATCH in any of the forms, but for server-side apply."""
    kind = call.kind
    forms.check(call)
    transform = patching.transform_of(call, kind, await patching.read(call))
    stored = await shell.change(call, kind, transform, door=door)
    return forms.one(call, kind, stored.value)
