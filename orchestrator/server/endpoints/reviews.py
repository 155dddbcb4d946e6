"""Questions put to the server by creating them: who am I, may I, may they. Nothing is stored."""

from __future__ import annotations

from typing import Any

from orchestrator.api.objects import Object
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
    review["metadata"].setdefault("creationTimestamp", None)
    match resource.kind:
        case "SelfSubjectReview":
            review.pop("spec", None)
            review["status"] = {"userInfo": _user_info(call.user)}
        case "SelfSubjectAccessReview":
            review["status"] = _access(call, call.user, review["spec"])
        case "SubjectAccessReview":
            review["status"] = _access(call, _asked_about(review["spec"]), review["spec"])
        case "LocalSubjectAccessReview":
            asked = (review["spec"].get("resourceAttributes") or {}).get("namespace")
            if asked != call.request.namespace:
                raise BadRequest("spec.resourceAttributes.namespace must match the namespace of the request")
            review["status"] = _access(call, _asked_about(review["spec"]), review["spec"])
        case "SelfSubjectRulesReview":
            if call.core.rules_of is None:
                raise refusals.no_such_resource()
            review["status"] = dict(call.core.rules_of(call.user, review["spec"].get("namespace", "")))
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


def _asked_about(spec: Object) -> User:
    if not spec.get("user") and not spec.get("groups"):
        raise BadRequest("spec.user: at least one of user or group must be specified")
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _access(call: Call, user: User, spec: Object) -> dict[str, Any]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise BadRequest("spec: exactly one of nonResourceAttributes or resourceAttributes must be specified")
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
