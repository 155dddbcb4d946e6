"""What the API tells clients of itself: groups, versions and resources, in the legacy and in the aggregated form.

Pure functions of the table of kinds; answers are rendered once and kept as bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import KINDS, Kind, Subresource
from orchestrator.api.resources import Resource

_JSON = "application/json"
#: Groups in the order in which clients should prefer them when a word fits several. `policy` has no resource of its own
#: yet, but `kubectl drain` looks for the group before it evicts.
_GROUPS = (
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "policy",
    "coordination.k8s.io",
    "discovery.k8s.io",
)
_VERSION = "v1"  # of every group so far


def respond(path: str, accept: str) -> tuple[bytes, str] | None:
    """The answer to a discovery request, with its content type; None if the path is not one of discovery's."""
    version = _aggregated_version(accept) if path.rstrip("/") in ("/api", "/apis") else ""
    return _rendered(path.rstrip("/"), version)


def group_versions() -> tuple[tuple[str, str], ...]:
    """All (group, version) pairs that are served, in order of preference."""
    return tuple((group, _VERSION) for group in _GROUPS)


def kinds_of(group: str, version: str) -> tuple[Kind, ...]:
    """The rows of one group and version, by plural."""
    found = [row for row in KINDS if (row.resource.group, row.resource.version) == (group, version)]
    return tuple(sorted(found, key=lambda row: row.resource.plural))


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


@lru_cache(maxsize=64)
def _rendered(path: str, aggregated: str) -> tuple[bytes, str] | None:
    if aggregated:
        groups = [group for group in _GROUPS if bool(group) == (path == "/apis")]
        content_type = f"{_JSON};g=apidiscovery.k8s.io;v={aggregated};as=APIGroupDiscoveryList"
        return codec.encode(_aggregated(groups, aggregated)), content_type
    answer = _legacy(path)
    return None if answer is None else (codec.encode(answer), _JSON)


def _legacy(path: str) -> dict[str, Any] | None:
    match path.split("/")[1:]:
        case ["api"]:
            return {"kind": "APIVersions", "versions": [_VERSION], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in _GROUPS if name]}
        case ["apis", group] if group in _GROUPS:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["api", version] if version == _VERSION:
            return _resource_list("", version)
        case ["apis", group, version] if group in _GROUPS and group and version == _VERSION:
            return _resource_list(group, version)
    return None


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/{_VERSION}", "version": _VERSION}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource_list(group: str, version: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for row in kinds_of(group, version):
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


def _aggregated(groups: Sequence[str], version: str) -> dict[str, Any]:
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_aggregated_group(group) for group in groups],
    }


def _aggregated_group(group: str) -> dict[str, Any]:
    resources = [_aggregated_resource(row) for row in kinds_of(group, _VERSION)]
    return {
        "metadata": {"name": group} if group else {},
        "versions": [{"version": _VERSION, "resources": resources, "freshness": "Current"}],
    }


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
