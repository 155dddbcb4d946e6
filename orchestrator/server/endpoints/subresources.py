"""Status, scale, binding, eviction, tokens, finalize, approval: what is done to an object through a path below it."""

from __future__ import annotations

from orchestrator.api import codec
from orchestrator.api.doors import Act, Issue, Leads, Part, Post, Removal, Scale
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object
from orchestrator.api.printing.workloads import SCALES
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import BadRequest, Conflict, Invalid
from orchestrator.server import bodies, forms, patching, refusals
from orchestrator.server.answers import Answer, success
from orchestrator.server.conversion import decoded
from orchestrator.server.core import Call
from orchestrator.server.endpoints import reads
from orchestrator.server.endpoints import writes as main
from orchestrator.server.writing import options, shell
from orchestrator.server.writing.stages import admission_request


async def answer(call: Call) -> Answer:
    """A request for any of them. Raises `NotFound` for a subresource that the kind has not."""
    kind, verb = call.kind, call.request.verb
    door = kind.door(call.request.subresource)
    if door is None:
        raise refusals.no_such_resource()
    if verb not in door.verbs or isinstance(door, Leads):
        raise refusals.not_allowed()
    match door:
        case Scale():
            return await _scale(call, kind, door)
        case Part() if verb == "get":
            return await reads.get(call)
        case Part() if verb == "update":
            return await main.update(call, door=door)
        case Part():
            return await main.patch(call, door=door)
        case Act():
            return await _act(call, kind, door)
        case Removal():
            return await _remove(call, kind, door)
        case Issue():
            return await _issue(call, kind, door)
    raise refusals.not_allowed()


async def _posted(call: Call, kind: Kind, door: Post) -> Object:
    """What was posted, valid and meant for the object that the request names."""
    body = await bodies.read_object(call, door.api_version, door.kind)
    bodies.check_place(call, kind, body)
    name = call.request.name
    if body["metadata"].get("name") not in (None, "", name):
        raise BadRequest(f"name in URL does not match name in {door.kind} object")
    if problems := door.validate_body(body):
        raise Invalid.of(group=door.group, kind=door.kind, name=name, problems=problems)
    return body


def _admit(call: Call, kind: Kind, door: Post, body: Object) -> None:
    """Admission, the Node rules among it, is asked about the body as a creation of its own."""
    admission = admission_request(kind, shell.facts_of(call), "CREATE", body, None, subresource=door.name)
    call.core.admission.mutate(admission)
    call.core.admission.validate(admission)


async def _act(call: Call, kind: Kind, door: Act) -> Answer:
    """What is posted changes the object, unless it does not fit."""
    body = await _posted(call, kind, door)
    _admit(call, kind, door, body)
    name, uid, now = call.request.name, body["metadata"].get("uid"), timestamp(call.core.clock.now())

    def act(obj: Object) -> Object:
        if uid and uid != obj["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {obj['metadata']['uid']}"
            raise refusals.conflict(kind.resource, name, why)
        if why := door.refusal(obj, body):
            below = f"{kind.resource.plural}/{door.name}"
            words = f'Operation cannot be fulfilled on {below} "{name}": {why}'
            raise Conflict(words, details={"name": name, "kind": below})
        door.apply(obj, body, now)
        return obj

    await shell.change(call, kind, act, door=door)
    return success(status=201)


async def _remove(call: Call, kind: Kind, door: Removal) -> Answer:
    """A deletion that disruption budgets may refuse; until there are such, it is a deletion."""
    body = await _posted(call, kind, door)
    asked = options.of_deletion(body.get("deleteOptions") or {}, {})
    _admit(call, kind, door, body)
    await shell.remove(call, kind, asked, door=door)
    return success(status=201)


async def _issue(call: Call, kind: Kind, door: Issue) -> Answer:
    """A token for the service account, bound as the request says."""
    issuer = call.core.issuer
    if issuer is None:
        raise refusals.no_such_resource()
    body = await bodies.read_object(call, door.api_version, door.kind)
    name, namespace = call.request.name, call.request.namespace
    _admit(call, kind, door, body)
    return Answer.of(issuer.issue(body, namespace=namespace, name=name), 201)


async def _scale(call: Call, kind: Kind, door: Scale) -> Answer:
    """How many replicas there are and shall be, in one shape for every kind that has them."""
    forms.check(call)
    name = call.request.name
    if call.request.verb == "get":
        current = await shell.newest(call, kind, name)
        if current is None:
            raise refusals.not_found(kind.resource, name)
        return forms.made(call, door.shown(decoded(kind, current)), SCALES)
    if call.request.verb == "update":
        body = await bodies.read_object(call, door.api_version, door.kind)

        def wanted(scale: Object) -> Object:
            return body
    else:
        patch = await patching.read(call)

        def wanted(scale: Object) -> Object:
            return patching.applied(call, patch, scale, door.api_version, door.kind)

    def transform(obj: Object) -> Object:
        scale = wanted(door.shown(obj))
        bodies.check_named(call, kind, scale)
        if problems := door.validate_body(scale):
            raise Invalid.of(group=door.group, kind=door.kind, name=name, problems=problems)
        door.apply(obj, scale)
        return obj

    stored = await shell.change(call, kind, transform, door=door)
    return forms.made(call, door.shown(codec.decode(stored.value)), SCALES)
