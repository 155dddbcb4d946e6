"""What a row of the table of kinds says: a kind's names, scope, verbs, subresources, columns and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.api.printing.columns import PLAIN, Column
from orchestrator.api.resources import Resource
from orchestrator.api.strategies.base import Strategy

#: Every verb of a stored resource.
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where the `scale` subresource finds its fields in the object."""

    spec_replicas: tuple[str, ...] = ("spec", "replicas")
    status_replicas: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource as discovery tells of it: the kind it speaks (its own group where that differs) and its verbs."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One row. `connect` names subresources besides `status` and `scale`; `virtual` kinds are answered, not stored.

    `definition` is the OpenAPI schema of a kind that is not among Kubernetes' published definitions.
    """

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    strategy: Strategy
    status: bool = False
    scale: ScalePaths | None = None
    connect: tuple[str, ...] = ()
    columns: tuple[Column, ...] = PLAIN
    stored_as: Resource | None = None
    verbs: tuple[str, ...] = VERBS
    virtual: bool = False
    definition: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def storage(self) -> Resource:
        """The resource under which its objects are stored."""
        return self.stored_as or self.resource

    @property
    def subresources(self) -> tuple[Subresource, ...]:
        """All its subresources, by name."""
        found = [_CONNECT[self.resource.plural, name] for name in self.connect]
        if self.status:
            found.append(Subresource("status", self.resource.kind, ("get", "patch", "update")))
        if self.scale:
            found.append(Subresource("scale", "Scale", ("get", "patch", "update"), "autoscaling", "v1"))
        return tuple(sorted(found, key=lambda subresource: subresource.name))


_CONNECT = {
    ("pods", "attach"): Subresource("attach", "PodAttachOptions", ("create", "get")),
    ("pods", "binding"): Subresource("binding", "Binding", ("create",)),
    ("pods", "eviction"): Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
    ("pods", "exec"): Subresource("exec", "PodExecOptions", ("create", "get")),
    ("pods", "log"): Subresource("log", "Pod", ("get",)),
    ("pods", "portforward"): Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
    ("nodes", "proxy"): Subresource("proxy", "NodeProxyOptions", ("create", "delete", "get", "patch", "update")),
    ("namespaces", "finalize"): Subresource("finalize", "Namespace", ("update",)),
    ("serviceaccounts", "token"): Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),
    ("certificatesigningrequests", "approval"): Subresource(
        "approval", "CertificateSigningRequest", ("get", "patch", "update")
    ),
}
