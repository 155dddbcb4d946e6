"""The refusals that every kind shares, in Kubernetes' words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.api.numbers import BadNumber, parse_int64
from orchestrator.api.problems import Problem
from orchestrator.api.resources import Resource
from orchestrator.machinery.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    GatewayTimeout,
    Gone,
    Invalid,
    MethodNotAllowed,
    NotFound,
)

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> NotFound:
    """No object of this name."""
    return NotFound(f'{resource.group_resource} "{name}" not found', details=_details(resource, name))


def no_such_resource() -> NotFound:
    """Nothing is served at this path."""
    return NotFound("the server could not find the requested resource", details={})


def not_allowed(verb: str = "") -> MethodNotAllowed:
    """The resource does not have this verb."""
    return MethodNotAllowed("the server does not allow this method on the requested resource", details={})


def already_exists(resource: Resource, name: str, *, is_being_deleted: bool = False) -> AlreadyExists:
    """A create found the name taken."""
    message = f'{resource.group_resource} "{name}" already exists'
    if is_being_deleted:
        message = f"object is being deleted: {message}"
    return AlreadyExists(message, details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> Conflict:
    """The write does not fit what is there."""
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return Conflict(message, details=_details(resource, name))


def conflict_of_kind(resource: Resource, name: str, why: str) -> Conflict:
    """A precondition does not fit what is there. Kubernetes puts the kind where elsewhere the resource stands."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {**_details(resource, name), "kind": resource.kind}
    return Conflict(f'Operation cannot be fulfilled on {kind} "{name}": {why}', details=details)


def invalid(resource: Resource, name: str, problems: Sequence[Problem]) -> Invalid:
    """The object breaks rules of its kind."""
    return Invalid.of(group=resource.group, kind=resource.kind, name=name, problems=problems)


def integer(text: str) -> int:
    """A whole number in a query; empty is 0. Raises `BadRequest` in the words of Kubernetes, which are Go's."""
    try:
        return parse_int64(text) if text else 0
    except BadNumber as exc:
        raise BadRequest(str(exc)) from exc


def unknown_field(field: str, *, has_own: bool) -> BadRequest:
    """A field selector names what is not selectable; `has_own` says whether the kind has more than every kind has.

    Only the reason: kubectl puts before it what it asked for.
    """
    if has_own:
        return BadRequest(f"field label not supported: {field}")
    return BadRequest(f'{json.dumps(field)} is not a known field selector: only "metadata.name", "metadata.namespace"')


def expired(oldest: int | None = None, asked: int | None = None) -> Gone:
    """A watch asked for what is no longer kept."""
    if oldest is None:
        return Gone("too old resource version")
    return Gone(f"too old resource version: {asked} ({oldest})")


def expired_list(token: str) -> Gone:
    """A list at a revision that is no longer kept; with a token, that of a page, it tells how to go on all the same."""
    if not token:
        return Gone("The resourceVersion for the provided list is too old.")
    return Gone(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        metadata={"continue": token},
    )


def too_large_revision(asked: int, current: int) -> ApiError:
    """The revision asked for has not come within the time that we wait for it."""
    return GatewayTimeout(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )
