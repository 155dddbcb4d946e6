"""What authorization is asked about a request."""

from __future__ import annotations

from orchestrator.api.selectors import BadSelector, parse_field_selector
from orchestrator.server.authentication.base import User
from orchestrator.server.authorization.base import Attributes
from orchestrator.server.requests import Request


def attributes_of(request: Request, user: User, *, verb: str = "") -> Attributes:
    """The request as authorization sees it; `verb` stands in for its own where it turns out to do something else."""
    if not request.resource:
        return Attributes(user, request.verb, path=request.path)
    name, selector = request.name, ""
    if request.query and request.verb in ("list", "watch", "deletecollection"):
        selector = request.query.get("fieldSelector", "")
        if selector and not name:
            name = _selected_name(selector)
    return Attributes(
        user,
        verb or request.verb,
        request.group,
        request.version,
        request.resource,
        request.subresource,
        request.namespace,
        name,
        request.path,
        selector,
    )


def _selected_name(selector: str) -> str:
    try:
        return parse_field_selector(selector).exact("metadata.name") or ""
    except BadSelector:
        return ""  # the endpoint says what is wrong with it
