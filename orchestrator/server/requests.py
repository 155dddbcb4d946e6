"""What a request asks for, read off its method and URL. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

import msgspec

from orchestrator.api.kinds import Kind, Kinds

_NO_QUERY: Mapping[str, str] = {}
_COLLECTION_VERBS = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_OBJECT_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
# Parameters in one URL: a command run in a container may have many words, no other parameter is repeated.
_PARAMETERS_MAX = 10_000
# Parts of a path before what only the node proxy looks at: apis, group, version, watch, namespaces, namespace,
# resource, name, subresource.
_PARTS_MAX = 11
_PATH_MAX = 64 << 10


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request. Without a `resource` it is for a plain path (`/version`), and the verb is the method in lower case.

    `kind` is None where group, version and resource name nothing that is served. `query` has a parameter's first value,
    as Kubernetes reads it. With a `fault` the request is not to be answered: it says what is wrong with the URL.
    """

    method: str
    path: str
    query: Mapping[str, str]
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    kind: Kind | None = None
    fault: str = ""

    def flag(self, parameter: str) -> bool:
        """Whether a boolean parameter is set."""
        return is_set(self.query.get(parameter))


def is_set(text: str | None) -> bool:
    """A boolean of a query as Kubernetes reads it: whatever is there, be it empty, but `0` and `false` is true."""
    return text is not None and text != "0" and text.lower() != "false"


def parse(kinds: Kinds, method: str, target: str) -> Request:
    """Read a request's method and target (path and query as they came), of a server that serves these kinds."""
    if not target.startswith("/"):
        target = _origin_form(target)
    path, _, query_text = target.partition("?")
    if query_text.count("&") > _PARAMETERS_MAX or len(path) > _PATH_MAX:
        return Request(method, path[:_PATH_MAX], _NO_QUERY, method.lower(), fault="the URL is too long")
    query = _first_values(query_text) if query_text else _NO_QUERY
    parts = path.split("/", _PARTS_MAX)
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if len(parts) > 3 and parts[1] == "api" and parts[3]:
        group, version, rest = "", parts[2], parts[3:]
    elif len(parts) > 4 and parts[1] == "apis" and parts[4]:
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return Request(method, path, query, method.lower())
    if rest[0] == "watch" and len(rest) > 1 and rest[1]:
        return _of_deprecated_watch(_of_resource(kinds, method, path, query, group, version, rest[1:]))
    return _of_resource(kinds, method, path, query, group, version, rest)


def _origin_form(target: str) -> str:
    """The path and query of a target in absolute form (`http://host/path`), as clients of proxies send it."""
    scheme, separator, rest = target.partition("://")
    if not separator or not scheme.isalpha():
        return target
    slash, question = rest.find("/"), rest.find("?")
    if slash < 0 or 0 <= question < slash:
        return "/" + (rest[question:] if question >= 0 else "")
    return rest[slash:]


def _first_values(query_text: str) -> Mapping[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(query_text, keep_blank_values=True):
        query.setdefault(name, value)
    return query


def _of_deprecated_watch(request: Request) -> Request:
    """`/api/v1/watch/…`: a list that is watched, or one object of it. Only GET is served there, as in Kubernetes."""
    verb = "watch" if request.method == "GET" else request.method.lower()
    rest = "/".join(part for part in (request.subresource, request.rest) if part)
    return msgspec.structs.replace(request, verb=verb, subresource="", rest=rest)


def _of_resource(
    kinds: Kinds, method: str, path: str, query: Mapping[str, str], group: str, version: str, parts: list[str]
) -> Request:
    namespace = ""
    if parts[0] == "namespaces" and not group:
        # `namespaces/X` is the object, as are its own subresources; anything further is within that namespace.
        if len(parts) > 2 and parts[2] and parts[2] not in ("status", "finalize"):
            namespace, parts = parts[1], parts[2:]
        elif len(parts) > 1:
            namespace = parts[1]
    elif parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if name or (resource == "namespaces" and not group and namespace):
        verb = _OBJECT_VERBS.get(method, method.lower())
    else:
        verb = _COLLECTION_VERBS.get(method, method.lower())
        if method == "GET" and is_set(query.get("watch")):
            verb = "watch"
    return Request(
        method,
        path,
        query,
        verb,
        group,
        version,
        resource,
        namespace,
        name,
        subresource,
        "/".join(parts[3:]),
        kinds.find(group, version, resource),
    )
