"""What the API tells clients of itself: groups, versions and resources, in the legacy and in the aggregated form.

Pure functions of the kinds served; answers are rendered once for each snapshot of them, and kept with it as bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.api import codec
from orchestrator.api.kinds import Kind, Kinds, Subresource
from orchestrator.api.resources import Resource

_JSON = "application/json"


class Document(NamedTuple):
    """An answer. `tag` is that of an aggregated one, which clients keep and ask for anew; the others have none."""

    body: bytes
    content_type: str
    tag: str = ""


def respond(kinds: Kinds, path: str, accept: str) -> Document | None:
    """The answer to a discovery request; None if the path is not one of discovery's."""
    path = path.rstrip("/")
    version = _aggregated_version(accept) if path in ("/api", "/apis") else ""
    parts = path.split("/")[1:]
    # Only what is served is looked up: answers are kept, and a client may ask for any path.
    match parts:
        case ["api" | "apis"]:
            return kinds.derived(_rendered, path, version)
        case ["apis", group] if group and kinds.versions(group):
            return kinds.derived(_rendered, path, "")
        case ["api", version] if version in kinds.versions(""):
            return kinds.derived(_rendered, path, "")
        case ["apis", group, version] if group and version in kinds.versions(group):
            return kinds.derived(_rendered, path, "")
    return None


def _aggregated_version(accept: str) -> str:
    """`v2` or `v2beta1` if the client prefers the aggregated form, else the empty string."""
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        given = dict(part.partition("=")[::2] for part in parameters)
        if media == _JSON and given.get("as") == "APIGroupDiscoveryList" and given.get("g") == "apidiscovery.k8s.io":
            if given.get("v") in ("v2", "v2beta1"):
                return given["v"]
        elif media in (_JSON, "*/*", "application/*") and "as" not in given:
            return ""
    return ""


def _rendered(kinds: Kinds, path: str, aggregated: str) -> Document:
    if aggregated:
        groups = [group for group in kinds.groups if bool(group) == (path == "/apis")]
        content_type = f"{_JSON};g=apidiscovery.k8s.io;v={aggregated};as=APIGroupDiscoveryList"
        body = codec.encode(_aggregated(kinds, groups, aggregated))
        return Document(body, content_type, hashlib.sha256(body).hexdigest().upper())
    return Document(codec.encode(_legacy(kinds, path.split("/")[1:])), _JSON)


def _legacy(kinds: Kinds, parts: Sequence[str]) -> dict[str, Any]:
    match parts:
        case ["api"]:
            return {"kind": "APIVersions", "versions": list(kinds.versions("")), "serverAddressByClientCIDRs": []}
        case ["apis"]:
            groups = [_group(kinds, name) for name in kinds.groups if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group]:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(kinds, group)}
        case ["api", version]:
            return _resource_list(kinds, "", version)
        case [_, group, version]:
            return _resource_list(kinds, group, version)
    raise AssertionError(f"not a path of discovery: {parts}")


def _group(kinds: Kinds, name: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in kinds.versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(kinds: Kinds, group: str, version: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for row in kinds.of(group, version):
        listed.append(_resource(row))
        listed += [_subresource(row, subresource) for subresource in row.subresources]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }


def _resource(row: Kind) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": row.resource.plural,
        "singularName": row.singular,
        "namespaced": row.resource.namespaced,
        "kind": row.resource.kind,
        "verbs": list(row.verbs),
    }
    entry |= _names(row)
    if not row.virtual:
        entry["storageVersionHash"] = _storage_version_hash(row.storage)
    return entry


def _names(row: Kind) -> dict[str, Sequence[str]]:
    return {
        key: list(words) for key, words in (("shortNames", row.short_names), ("categories", row.categories)) if words
    }


def _subresource(row: Kind, subresource: Subresource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{row.resource.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": row.resource.namespaced,
    }
    if subresource.version:
        entry |= {"group": subresource.group, "version": subresource.version}
    return entry | {"kind": subresource.kind, "verbs": list(subresource.verbs)}


def _storage_version_hash(stored: Resource) -> str:
    """Kubernetes' own hash of the stored form: clients compare it to see whether objects were migrated."""
    digest = hashlib.sha256(f"{stored.group}/{stored.version}/{stored.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _aggregated(kinds: Kinds, groups: Sequence[str], version: str) -> dict[str, Any]:
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_aggregated_group(kinds, group) for group in groups],
    }


def _aggregated_group(kinds: Kinds, group: str) -> dict[str, Any]:
    versions = [
        {
            "version": version,
            "resources": [_aggregated_resource(row) for row in kinds.of(group, version)],
            "freshness": "Current",
        }
        for version in kinds.versions(group)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _aggregated_resource(row: Kind) -> dict[str, Any]:
    resource = row.resource
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    entry |= _names(row)
    if row.subresources:
        entry["subresources"] = [
            {
                "subresource": subresource.name,
                "responseKind": {
                    "group": subresource.group if subresource.version else resource.group,
                    "version": subresource.version or resource.version,
                    "kind": subresource.kind,
                },
                "verbs": list(subresource.verbs),
            }
            for subresource in row.subresources
        ]
    return entry
