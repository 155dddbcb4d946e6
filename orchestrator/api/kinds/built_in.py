"""THE table: one row per kind that the API serves by itself."""

from __future__ import annotations

from orchestrator.api import resources
from orchestrator.api.kinds.kind import VERBS, Kind, ScalePaths
from orchestrator.api.kinds.kinds import Kinds
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


def _review(group: str, plural: str, kind: str, *, namespaced: bool = False) -> Kind:
    """A question put to the API server by creating it; nothing is stored."""
    return Kind(
        resource=Resource(group, "v1", plural, kind, namespaced),
        singular=kind.lower(),
        strategy=Strategy(),
        verbs=("create",),
        virtual=True,
    )


BUILT_IN = Kinds(
    (
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
)
