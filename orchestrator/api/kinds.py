"""THE table: one row per kind that the API serves. Discovery, routing, OpenAPI, RBAC names and tables all read it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api import resources
from orchestrator.api.printing import (
    certificates as certificate_columns,
)
from orchestrator.api.printing import (
    cluster as cluster_columns,
)
from orchestrator.api.printing import (
    configuration as configuration_columns,
)
from orchestrator.api.printing import (
    events as event_columns,
)
from orchestrator.api.printing import (
    network as network_columns,
)
from orchestrator.api.printing import (
    pods as pod_columns,
)
from orchestrator.api.printing import (
    workloads as workload_columns,
)
from orchestrator.api.printing.columns import PLAIN, Column
from orchestrator.api.resources import Resource
from orchestrator.api.strategies import (
    apps,
    certificates,
    configuration,
    endpoints,
    events,
    leases,
    namespaces,
    nodes,
    pods,
    services,
)
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
    """One row. `connect` names subresources besides `status` and `scale`; `virtual` kinds are answered, not stored."""

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


def _review(group: str, plural: str, kind: str, *, namespaced: bool = False) -> Kind:
    """A question put to the API server by creating it; nothing is stored."""
    return Kind(
        resource=Resource(group, "v1", plural, kind, namespaced),
        singular=kind.lower(),
        strategy=Strategy(),
        verbs=("create",),
        virtual=True,
    )


KINDS: tuple[Kind, ...] = (
    Kind(
        resource=resources.NAMESPACES,
        singular="namespace",
        short_names=("ns",),
        strategy=namespaces.NAMESPACES_STRATEGY,
        status=True,
        connect=("finalize",),
        columns=cluster_columns.NAMESPACES,
        verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
    ),
    Kind(
        resource=resources.NODES,
        singular="node",
        short_names=("no",),
        strategy=nodes.NODES_STRATEGY,
        status=True,
        connect=("proxy",),
        columns=cluster_columns.NODES,
    ),
    Kind(
        resource=resources.PODS,
        singular="pod",
        short_names=("po",),
        categories=("all",),
        strategy=pods.PODS_STRATEGY,
        status=True,
        connect=("attach", "binding", "eviction", "exec", "log", "portforward"),
        columns=pod_columns.PODS,
    ),
    Kind(
        resource=resources.SERVICES,
        singular="service",
        short_names=("svc",),
        categories=("all",),
        strategy=services.SERVICES_STRATEGY,
        status=True,
        columns=network_columns.SERVICES,
    ),
    Kind(
        resource=resources.ENDPOINTS,
        singular="endpoints",
        short_names=("ep",),
        strategy=endpoints.ENDPOINTS_STRATEGY,
        columns=network_columns.ENDPOINTS,
    ),
    Kind(
        resource=resources.CONFIGMAPS,
        singular="configmap",
        short_names=("cm",),
        strategy=configuration.CONFIGMAPS_STRATEGY,
        columns=configuration_columns.CONFIGMAPS,
    ),
    Kind(
        resource=resources.SECRETS,
        singular="secret",
        strategy=configuration.SECRETS_STRATEGY,
        columns=configuration_columns.SECRETS,
    ),
    Kind(
        resource=resources.SERVICEACCOUNTS,
        singular="serviceaccount",
        short_names=("sa",),
        strategy=configuration.SERVICEACCOUNTS_STRATEGY,
        connect=("token",),
        columns=configuration_columns.SERVICEACCOUNTS,
    ),
    Kind(
        resource=resources.CORE_EVENTS,
        singular="event",
        short_names=("ev",),
        strategy=events.EVENTS_STRATEGY,
        columns=event_columns.CORE_EVENTS,
    ),
    Kind(
        resource=resources.REPLICASETS,
        singular="replicaset",
        short_names=("rs",),
        categories=("all",),
        strategy=apps.REPLICASETS_STRATEGY,
        status=True,
        scale=ScalePaths(),
        columns=workload_columns.REPLICASETS,
    ),
    Kind(
        resource=resources.DEPLOYMENTS,
        singular="deployment",
        short_names=("deploy",),
        categories=("all",),
        strategy=apps.DEPLOYMENTS_STRATEGY,
        status=True,
        scale=ScalePaths(),
        columns=workload_columns.DEPLOYMENTS,
    ),
    Kind(
        resource=resources.STATEFULSETS,
        singular="statefulset",
        short_names=("sts",),
        categories=("all",),
        strategy=apps.STATEFULSETS_STRATEGY,
        status=True,
        scale=ScalePaths(),
        columns=workload_columns.STATEFULSETS,
    ),
    Kind(
        resource=resources.CONTROLLERREVISIONS,
        singular="controllerrevision",
        strategy=apps.CONTROLLERREVISIONS_STRATEGY,
        columns=workload_columns.CONTROLLERREVISIONS,
    ),
    Kind(
        resource=resources.EVENTS,
        singular="event",
        short_names=("ev",),
        strategy=events.EVENTS_V1_STRATEGY,
        columns=event_columns.EVENTS,
        stored_as=resources.CORE_EVENTS,
    ),
    Kind(
        resource=resources.CERTIFICATESIGNINGREQUESTS,
        singular="certificatesigningrequest",
        short_names=("csr",),
        strategy=certificates.CERTIFICATESIGNINGREQUESTS_STRATEGY,
        status=True,
        connect=("approval",),
        columns=certificate_columns.CERTIFICATESIGNINGREQUESTS,
    ),
    Kind(
        resource=resources.LEASES,
        singular="lease",
        strategy=leases.LEASES_STRATEGY,
        columns=cluster_columns.LEASES,
    ),
    Kind(
        resource=resources.ENDPOINTSLICES,
        singular="endpointslice",
        strategy=endpoints.ENDPOINTSLICES_STRATEGY,
        columns=network_columns.ENDPOINTSLICES,
    ),
    _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    _review("authentication.k8s.io", "tokenreviews", "TokenReview"),
    _review("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True),
    _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    _review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
)

_BY_PATH = {(row.resource.group, row.resource.version, row.resource.plural): row for row in KINDS}
_BY_KIND = {(row.resource.api_version, row.resource.kind): row for row in KINDS}


def find(group: str, version: str, plural: str) -> Kind | None:
    """The row that a URL names; None if this version of the group serves no such resource."""
    return _BY_PATH.get((group, version, plural))


def by_kind(api_version: str, kind: str) -> Kind | None:
    """The row of an object's `apiVersion` and `kind`."""
    return _BY_KIND.get((api_version, kind))
