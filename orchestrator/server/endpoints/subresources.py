"""Status, scale, binding, eviction, tokens, finalize, approval: what is done to an object through a path below it."""

from __future__ import annotations

from typing import Any

from orchestrator.api import codec
from orchestrator.api.doors import STATUS, Inner, Main
from orchestrator.api.kinds import Kind, ScalePaths
from orchestrator.api.objects import Object
from orchestrator.api.printing.workloads import SCALES
from orchestrator.api.selectors import selector_of
from orchestrator.api.strategies.certificates import Approval
from orchestrator.api.strategies.namespaces import Finalize
from orchestrator.api.strategies.pods import validate_binding
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import BadRequest, Conflict, Invalid
from orchestrator.server import bodies, forms, patching, refusals
from orchestrator.server.answers import Answer, success
from orchestrator.server.conversion import decoded
from orchestrator.server.core import Call
from orchestrator.server.endpoints import reads
from orchestrator.server.endpoints import writes as main
from orchestrator.server.writing import deletion, shell
from orchestrator.server.writing.stages import admission_request

_SCALE_VERSION = "autoscaling/v1"


async def answer(call: Call) -> Answer:
    """A request for any of them. Raises `NotFound` for a subresource that the kind has not."""
    kind, verb, name = call.kind, call.request.verb, call.request.subresource
    match name, verb:
        case "status", "get" if kind.status:
            return await reads.get(call)
        case "status", "update" if kind.status:
            return await main.update(call, door=STATUS)
        case "status", "patch" if kind.status:
            return await main.patch(call, door=STATUS)
        case "scale", "get" | "update" | "patch" if kind.scale is not None:
            return await _scale(call, kind, kind.scale)
        case "approval", "get" if name in kind.connect:
            return await reads.get(call)
        case "approval", "update" if name in kind.connect:
            return await main.update(call, door=Approval())
        case "approval", "patch" if name in kind.connect:
            return await main.patch(call, door=Approval())
        case "finalize", "update" if name in kind.connect:
            return await main.update(call, door=Finalize())
        case "binding", "create" if name in kind.connect:
            return await _bind(call, kind)
        case "eviction", "create" if name in kind.connect:
            return await _evict(call, kind)
        case "token", "create" if name in kind.connect:
            return await _token(call, kind)
    if any(name == subresource.name for subresource in kind.subresources):
        raise refusals.not_allowed()
    raise refusals.no_such_resource()


async def _bind(call: Call, kind: Kind) -> Answer:
    """The scheduler's decision: written once, together with what it means for the pod's conditions."""
    binding = await bodies.read_object(call, "v1", "Binding")
    name = call.request.name
    own = binding["metadata"].get("name")
    if own and own != name:
        raise BadRequest(f"the name of the object ({own}) does not match the name on the URL ({name})")
    if problems := validate_binding(binding):
        raise Invalid.of(group="", kind="Binding", name=name, problems=problems)
    node, uid = binding["target"]["name"], binding["metadata"].get("uid")
    annotations = binding["metadata"].get("annotations") or {}
    now = timestamp(call.core.clock.now())
    _admit_creation(call, kind, binding, "binding")

    def bind(pod: Object) -> Object:
        meta, spec = pod["metadata"], pod["spec"]
        if uid and uid != meta["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
            raise refusals.conflict(kind.resource, name, why)
        if meta.get("deletionTimestamp"):
            raise _binding_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
        if spec.get("nodeName"):
            raise _binding_conflict(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
        if spec.get("schedulingGates"):
            raise _binding_conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
        spec["nodeName"] = node
        if annotations:
            meta["annotations"] = {**(meta.get("annotations") or {}), **annotations}
        status = pod.setdefault("status", {})
        others = [one for one in status.get("conditions") or [] if one.get("type") != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        status["conditions"] = [*others, scheduled]
        return pod

    await shell.change(call, kind, bind, door=Inner(name="binding"))
    return success(status=201)


def _admit_creation(call: Call, kind: Kind, body: Object, subresource: str) -> None:
    """Admission, the Node rules among it, is asked about the body as a creation of its own."""
    admission = admission_request(kind, shell.facts_of(call), "CREATE", body, None, subresource=subresource)
    call.core.admission.mutate(admission)
    call.core.admission.validate(admission)


def _binding_conflict(name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        details={"name": name, "kind": "pods/binding"},
    )


async def _evict(call: Call, kind: Kind) -> Answer:
    """A deletion that disruption budgets may refuse; until there are such, it is a deletion."""
    eviction = await bodies.read_object(call, "policy/v1", "Eviction")
    name = call.request.name
    own = eviction["metadata"].get("name")
    if own and own != name:
        raise BadRequest(f"the name of the object ({own}) does not match the name on the URL ({name})")
    options = deletion.options_of(eviction.get("deleteOptions") or {}, call.request.query)
    _admit_creation(call, kind, eviction, "eviction")
    await shell.remove(call, kind, options, door=Inner(name="eviction"))
    return success(status=201)


async def _token(call: Call, kind: Kind) -> Answer:
    """A token for the service account, bound as the request says."""
    issuer = call.core.issuer
    if issuer is None:
        raise refusals.no_such_resource()
    body = await bodies.read_object(call, "authentication.k8s.io/v1", "TokenRequest")
    name, namespace = call.request.name, call.request.namespace
    _admit_creation(call, kind, body, "token")
    return Answer.of(issuer.issue(body, namespace=namespace, name=name), 201)


async def _scale(call: Call, kind: Kind, paths: ScalePaths) -> Answer:
    """How many replicas there are and shall be, in one shape for every kind that has them."""
    forms.check(call)
    name = call.request.name
    if call.request.verb == "get":
        current = await shell.newest(call, kind, name)
        if current is None:
            raise refusals.not_found(kind.resource, name)
        return forms.made(call, _scale_of(decoded(kind, current), paths), SCALES)
    bodies.check_dry_run(call)
    if call.request.verb == "update":
        body = await bodies.read_object(call, _SCALE_VERSION, "Scale")

        def wanted(scale: Object) -> Object:
            return body
    else:
        patch = await patching.read(call)

        def wanted(scale: Object) -> Object:
            return patching.applied(call, patch, scale, _SCALE_VERSION, "Scale")

    def transform(obj: Object) -> Object:
        scale = wanted(_scale_of(obj, paths))
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            problem = refusals.invalid_replicas(replicas)
            raise Invalid.of(group="autoscaling", kind="Scale", name=name, problems=[problem])
        _set(obj, paths.spec_replicas, replicas)
        for field in ("uid", "resourceVersion"):
            if asked := scale["metadata"].get(field):
                obj["metadata"][field] = asked
        return obj

    stored = await shell.change(call, kind, transform, door=Main(name="scale"))
    return forms.made(call, _scale_of(codec.decode(stored.value), paths), SCALES)


def _scale_of(obj: Object, paths: ScalePaths) -> Object:
    meta = obj["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    scale: Object = {
        "kind": "Scale",
        "apiVersion": _SCALE_VERSION,
        "metadata": {field: meta[field] for field in shown if field in meta},
        "spec": {"replicas": _get(obj, paths.spec_replicas) or 0},
        "status": {"replicas": _get(obj, paths.status_replicas) or 0},
    }
    if selector := str(selector_of(_get(obj, paths.selector) or {})):
        scale["status"]["selector"] = selector
    return scale


def _get(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for field in path:
        value = (value or {}).get(field)
    return value


def _set(obj: Object, path: tuple[str, ...], value: Any) -> None:
    for field in path[:-1]:
        obj = obj.setdefault(field, {})
    obj[path[-1]] = value
