"""Questions put to the server by creating them: who am I, may I, may they. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid
from orchestrator.machinery.errors import BadRequest, Unauthorized
from orchestrator.server import bodies, forms, refusals
from orchestrator.server.answers import Answer
from orchestrator.server.authentication.base import Credentials, User
from orchestrator.server.authorization.base import Attributes, Decision
from orchestrator.server.core import Call


async def create(call: Call) -> Answer:
    """Answer a review of any kind."""
    forms.check_untabled(call)
    resource = call.kind.resource
    review = await bodies.read_object(call, resource.api_version, resource.kind)
    review.setdefault("spec", {})
    bodies.check_place(call, call.kind, review)
    review["metadata"].setdefault("creationTimestamp", None)
    match resource.kind:
        case "SelfSubjectReview":
            review.pop("spec", None)
            review["status"] = {"userInfo": _user_info(call.user)}
        case "SelfSubjectAccessReview":
            _refuse(call, _about(review["spec"]))
            review["status"] = _access(call, call.user, review["spec"])
        case "SubjectAccessReview" | "LocalSubjectAccessReview":
            _refuse(call, [*_about(review["spec"]), *_whom(review["spec"]), *_where(call, review["spec"])])
            review["status"] = _access(call, _asked_about(review["spec"]), review["spec"])
        case "SelfSubjectRulesReview":
            if call.core.rules_of is None:
                raise refusals.no_such_resource()
            if not (namespace := review["spec"].get("namespace")):
                raise BadRequest("no namespace on request")
            review["status"] = dict(call.core.rules_of(call.user, namespace))
        case "TokenReview":
            review["status"] = _authenticity(call, review["spec"])
        case _:
            raise refusals.no_such_resource()
    return Answer.of(review, 201)


def _user_info(user: User) -> Object:
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _refuse(call: Call, problems: Sequence[Problem]) -> None:
    if problems:
        raise refusals.invalid(call.kind.resource, "", problems)


def _about(spec: Object) -> Sequence[Problem]:
    """What is wrong with what is asked about."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        words = "cannot be specified in combination with resourceAttributes"
        return [invalid("spec.nonResourceAttributes", path, words)]
    if resource is None and path is None:
        words = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid("spec.resourceAttributes", None, words)]
    return ()


def _whom(spec: Object) -> Sequence[Problem]:
    if spec.get("user") or spec.get("groups"):
        return ()
    return [invalid("spec.user", "", "at least one of user or group must be specified")]


def _where(call: Call, spec: Object) -> Sequence[Problem]:
    """What is wrong with a question about one namespace."""
    if not call.kind.resource.namespaced:
        return ()
    if (path := spec.get("nonResourceAttributes")) is not None:
        return [invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request")]
    resource = spec.get("resourceAttributes")
    if resource is None or (asked := resource.get("namespace", "")) == call.request.namespace:
        return ()
    return [invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace")]


def _asked_about(spec: Object) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _access(call: Call, user: User, spec: Object) -> dict[str, Any]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    attributes = Attributes(user, (path or {}).get("verb", ""), path=(path or {}).get("path", ""))
    if resource is not None:
        attributes = Attributes(
            user,
            resource.get("verb", ""),
            resource.get("group", ""),
            resource.get("version", ""),
            resource.get("resource", ""),
            resource.get("subresource", ""),
            resource.get("namespace", ""),
            resource.get("name", ""),
        )
    verdict = call.core.authorizer.authorize(attributes)
    status: dict[str, Any] = {"allowed": verdict.allowed}
    if verdict.decision is Decision.DENY:
        status["denied"] = True
    if verdict.reason:
        status["reason"] = verdict.reason
    return status


def _authenticity(call: Call, spec: Object) -> dict[str, Any]:
    """Whose token it is, if it is meant for one of the audiences asked for, and for which of them."""
    token = spec.get("token", "")
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    credentials = Credentials(bearer_token=token, audiences=tuple(spec.get("audiences") or ()))
    try:
        who = call.core.authenticator.authenticate(credentials)
    except Unauthorized:
        who = None
    if who is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _user_info(who.user), "audiences": list(who.audiences)}
