"""What the tests of authentication, authorization and admission share: a cluster's objects, users, requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.api.codec import decode, encode
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.objects import Object
from orchestrator.api.resources import (
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from orchestrator.server.admission.base import AdmissionRequest, Operation
from orchestrator.server.authentication.base import AUTHENTICATED, MASTERS, User
from orchestrator.server.dice import Dice

ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
SOMEBODY = User("jane", (AUTHENTICATED,))


def a_node_user(name: str = "n1") -> User:
    """The user that a node agent is."""
    return User(f"system:node:{name}", ("system:nodes", AUTHENTICATED))


class FakeObjects:
    """A watch cache as the chains see it, filled by hand."""

    def __init__(self, *objects: tuple[Resource, Object]) -> None:
        self._stored: dict[tuple[Resource, str, str], bytes] = {}
        for resource, obj in objects:
            self.put(resource, obj)

    def put(self, resource: Resource, obj: Object) -> None:
        meta = obj["metadata"]
        self._stored[resource, meta.get("namespace", ""), meta["name"]] = encode(obj)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        del self._stored[resource, namespace, name]

    def get(self, resource: Resource, namespace: str, name: str) -> bytes | None:
        return self._stored.get((resource, namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Iterable[bytes]:
        return [
            value
            for (kind, where, _), value in self._stored.items()
            if kind == resource and (not namespace or where == namespace)
        ]

    def by_index(self, resource: Resource, index: str, value: str) -> Iterable[bytes]:
        assert (resource, index) == (PODS, "spec.nodeName")
        return [pod for pod in self.list(PODS) if decode(pod)["spec"].get("nodeName") == value]


def a_namespace(name: str = "default", *, phase: str = "Active") -> tuple[Resource, Object]:
    """A namespace."""
    return NAMESPACES, {"metadata": {"name": name, "uid": f"uid-{name}"}, "status": {"phase": phase}}


def a_service_account(name: str = "default", namespace: str = "default", **fields: Any) -> tuple[Resource, Object]:
    """A service account."""
    return SERVICEACCOUNTS, {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-sa-{name}"}, **fields}


def a_pod(
    name: str = "web", *, namespace: str = "default", node: str = "", account: str = "default", **spec: Any
) -> tuple[Resource, Object]:
    """A pod with one container."""
    body: Object = {"containers": [{"name": "main", "image": "nginx"}], "serviceAccountName": account, **spec}
    if node:
        body["nodeName"] = node
    return PODS, {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}, "spec": body}


def a_node(name: str = "n1") -> tuple[Resource, Object]:
    """A node."""
    return NODES, {"metadata": {"name": name, "uid": f"uid-{name}"}}


def a_secret(name: str, namespace: str = "default", **fields: Any) -> tuple[Resource, Object]:
    """A secret."""
    return SECRETS, {"metadata": {"name": name, "namespace": namespace}, **fields}


def an_admission(
    resource: Resource,
    operation: Operation = "CREATE",
    *,
    obj: Object | None = None,
    old: Object | None = None,
    user: User = ADMIN,
    subresource: str = "",
    options: Mapping[str, Any] | None = None,
    objects: FakeObjects | None = None,
) -> AdmissionRequest:
    """A write on its way; namespace and name are those of the object."""
    kind = BUILT_IN.find(resource.group, resource.version, resource.plural)
    assert kind is not None
    meta = (obj or old or {}).get("metadata") or {}
    return AdmissionRequest(
        kind=kind,
        operation=operation,
        obj=obj,
        old=old,
        user=user,
        namespace=meta.get("namespace", ""),
        name=meta.get("name", ""),
        objects=objects or FakeObjects(),
        dice=Dice(7),
        subresource=subresource,
        options=options or {},
    )
