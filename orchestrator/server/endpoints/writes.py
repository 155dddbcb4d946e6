"""POST to a collection, PUT and PATCH of an object or its status."""

from __future__ import annotations

from orchestrator.api import codec
from orchestrator.api.doors import MAIN, Writes
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.machinery.errors import BadRequest, NotFound
from orchestrator.server import bodies, forms, patching
from orchestrator.server.answers import Answer
from orchestrator.server.authorization.chain import refusal
from orchestrator.server.authorization.questions import attributes_of
from orchestrator.server.core import Call
from orchestrator.server.writing import shell


async def create(call: Call) -> Answer:
    """POST to a collection."""
    kind = call.kind
    forms.check(call)
    obj = await bodies.read_object(call, kind.resource.api_version, kind.resource.kind)
    check_place(call, kind, obj)
    if obj["metadata"].get("resourceVersion", "") not in ("", "0"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    stored = await shell.create(call, kind, obj)
    return forms.one(call, kind, stored.value, 201)


async def update(call: Call, *, door: Writes = MAIN) -> Answer:
    """PUT: the body is the new object."""
    kind, name = call.kind, call.request.name
    forms.check(call)
    body = await bodies.read_object(call, kind.resource.api_version, kind.resource.kind)
    check_place(call, kind, body)
    own = body["metadata"].get("name")
    if own and own != name:
        raise BadRequest(f"the name of the object ({own}) does not match the name on the URL ({name})")
    body["metadata"]["name"] = name
    try:
        stored = await shell.change(call, kind, lambda old: codec.copied(body), door=door)
    except NotFound:
        if kind.strategy.must_exist_for_update or door.name or (body["metadata"].get("resourceVersion") or "0") != "0":
            raise
        _check_may_create(call)
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


def check_place(call: Call, kind: Kind, obj: Object) -> None:
    """See that the object's namespace is the URL's, and fill it in."""
    if not kind.resource.namespaced:
        return
    namespace, own = call.request.namespace, obj["metadata"].get("namespace")
    if own and own != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    obj["metadata"]["namespace"] = namespace
