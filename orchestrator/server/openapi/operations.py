"""The paths of a kind and what can be done at them, as OpenAPI v3 says it: clients look for the kind that an operation
is about, and for the query parameters that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api.kinds import Kind, Subresource
from orchestrator.api.schema import definitions

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_PARAMETER_TYPES = {
    "allowWatchBookmarks": "boolean",
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "limit": "integer",
    "orphanDependents": "boolean",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
# What a client's method is called after, and what goes before the kind in its name.
_ACTIONS = {
    "get": ("read", ""),
    "post": ("create", ""),
    "put": ("replace", ""),
    "deletecollection": ("delete", "Collection"),
}


def paths_of(row: Kind, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Its paths, each with its operations. `raw` are the definitions there are: a kind without one is not spoken of."""
    resource = row.resource
    schema = definitions.name_of(row)
    collection = resource.path("{namespace}")
    item = f"{collection}/{{name}}"
    verbs = set(row.verbs)
    paths: dict[str, Any] = {collection: _collection(row, schema, verbs)}
    if resource.namespaced and "list" in verbs:
        paths[resource.path()] = {"get": _operation(row, "list", f"{schema}List", _LIST)}
    if "get" in verbs:
        paths[item] = _item(row, schema, verbs)
    for subresource in row.subresources:
        paths[f"{item}/{subresource.name}"] = _subresource(row, subresource, schema, raw)
    return {path: _completed(row, path, operations) for path, operations in paths.items() if operations}


def _collection(row: Kind, schema: str, verbs: set[str]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    if "list" in verbs:
        operations["get"] = _operation(row, "list", f"{schema}List", _LIST)
    if "create" in verbs:
        operations["post"] = _operation(row, "post", schema, _WRITE, body=schema)
    if "deletecollection" in verbs:
        parameters = tuple(sorted({*_LIST, *_DELETE} - {"watch", "allowWatchBookmarks"}))
        operations["delete"] = _operation(
            row, "deletecollection", f"{_META}Status", parameters, body=f"{_META}DeleteOptions"
        )
    return operations


def _item(row: Kind, schema: str, verbs: set[str]) -> dict[str, Any]:
    operations = {"get": _operation(row, "get", schema, ())}
    if "update" in verbs:
        operations["put"] = _operation(row, "put", schema, _WRITE, body=schema)
    if "patch" in verbs:
        operations["patch"] = _operation(row, "patch", schema, (*_WRITE, "force"), body=f"{_META}Patch")
    if "delete" in verbs:
        operations["delete"] = _operation(row, "delete", f"{_META}Status", _DELETE, body=f"{_META}DeleteOptions")
    return operations


def _subresource(row: Kind, subresource: Subresource, schema: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    group, version = row.resource.group, row.resource.version
    if subresource.version:
        group, version = subresource.group, subresource.version
    spoken = (
        schema
        if subresource.kind == row.resource.kind
        else definitions.definition_name(group, version, subresource.kind)
    )
    if spoken not in raw or subresource.name == "log":
        # Streams: what passes is not JSON.
        return {"get": _operation(row, "connect" if subresource.name != "log" else "get", "", (), subresource)}
    operations: dict[str, Any] = {}
    if "get" in subresource.verbs:
        operations["get"] = _operation(row, "get", spoken, (), subresource)
    if "create" in subresource.verbs:
        operations["post"] = _operation(row, "post", spoken, _WRITE, subresource, body=spoken)
    if "update" in subresource.verbs:
        operations["put"] = _operation(row, "put", spoken, _WRITE, subresource, body=spoken)
    if "patch" in subresource.verbs:
        operations["patch"] = _operation(row, "patch", spoken, (*_WRITE, "force"), subresource, body=f"{_META}Patch")
    return operations


def _operation(
    row: Kind,
    action: str,
    answer: str,
    parameters: tuple[str, ...],
    subresource: Subresource | None = None,
    *,
    body: str = "",
) -> dict[str, Any]:
    resource = row.resource
    kind = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    if subresource is not None:
        kind["kind"] = subresource.kind
        if subresource.version:
            kind |= {"group": subresource.group, "version": subresource.version}
    content = (
        {"application/json": {"schema": _reference(answer)}} if answer else {"*/*": {"schema": {"type": "string"}}}
    )
    operation: dict[str, Any] = {
        "parameters": [_parameter(name) for name in parameters],
        "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    }
    if body:
        media = _PATCHES if action == "patch" else ("*/*",)
        operation["requestBody"] = {
            "content": {name: {"schema": _reference(body)} for name in media},
            "required": not action.startswith("delete"),
        }
    return operation


def _completed(row: Kind, path: str, operations: dict[str, Any]) -> dict[str, Any]:
    """With the parameters of the path, and a name for each operation by which clients' generators call it."""
    group, version = row.resource.group, row.resource.version
    for method, operation in operations.items():
        operation["tags"] = [f"{_uncapitalised(_camel(group or 'core'))}_{version}"]
        operation["operationId"] = _operation_id(row, path, method, operation["x-kubernetes-action"])
    names = [name for name in ("name", "namespace") if f"{{{name}}}" in path]
    shared = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return operations | {"parameters": [*shared, _parameter("pretty")]}


def _operation_id(row: Kind, path: str, method: str, action: str) -> str:
    """As Kubernetes names them: `readCoreV1NamespacedPodStatus`, `listAppsV1DeploymentForAllNamespaces`."""
    resource = row.resource
    verb, of = _ACTIONS.get(action, (action, ""))
    if action == "connect":
        of = method.title()
    if "{namespace}" in path:
        of += "Namespaced"
    subresource = path.partition("{name}/")[2]
    everywhere = "ForAllNamespaces" if resource.namespaced and "{namespace}" not in path else ""
    version = resource.version[:1].upper() + resource.version[1:]
    return f"{verb}{_camel(resource.group or 'core')}{version}{of}{resource.kind}{_camel(subresource)}{everywhere}"


def _uncapitalised(word: str) -> str:
    return word[:1].lower() + word[1:]


def _camel(dotted: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in dotted.removesuffix(".k8s.io").split("."))


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": _PARAMETER_TYPES.get(name, "string")}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
