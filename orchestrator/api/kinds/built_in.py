"""THE table: one row per kind that the API serves by itself."""

from __future__ import annotations

from orchestrator.api import resources
from orchestrator.api.doors import STATUS, Door, Issue, Leads, Removal, Scale
from orchestrator.api.kinds.kind import VERBS, Conversion, Index, Kind
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
    service_networks,
    services,
)
from orchestrator.api.strategies.base import Strategy

#: The server's ledger of ClusterIPs and node ports.
SERVICE_ADDRESSES = "service addresses"


def _review(group: str, plural: str, kind: str, *, namespaced: bool = False) -> Kind:
    """A question put to the API server by creating it; nothing is stored."""
    return Kind(
        resource=Resource(group, "v1", plural, kind, namespaced),
        singular=kind.lower(),
        strategy=Strategy(),
        verbs=("create",),
        virtual=True,
    )


def _leads(name: str, kind: str, *verbs: str) -> Door:
    return Leads(name=name, kind=kind, verbs=verbs)


_OBJECT_VERBS = ("create", "delete", "get", "patch", "update")
_POD_DOORS = (
    STATUS,
    pods.Binding(),
    Removal(name="eviction", kind="Eviction", group="policy", version="v1"),
    _leads("attach", "PodAttachOptions", "create", "get"),
    _leads("exec", "PodExecOptions", "create", "get"),
    _leads("log", "Pod", "get"),
    _leads("portforward", "PodPortForwardOptions", "create", "get"),
)

BUILT_IN = Kinds(
    (
        Kind(
            resource=resources.NAMESPACES,
            singular="namespace",
            short_names=("ns",),
            strategy=namespaces.NAMESPACES_STRATEGY,
            doors=(STATUS, namespaces.Finalize()),
            columns=cluster_columns.NAMESPACES,
            verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
        ),
        Kind(
            resource=resources.NODES,
            singular="node",
            short_names=("no",),
            strategy=nodes.NODES_STRATEGY,
            doors=(STATUS, _leads("proxy", "NodeProxyOptions", *_OBJECT_VERBS)),
            columns=cluster_columns.NODES,
        ),
        Kind(
            resource=resources.PODS,
            singular="pod",
            short_names=("po",),
            categories=("all",),
            strategy=pods.PODS_STRATEGY,
            doors=_POD_DOORS,
            indexes=(Index("spec.nodeName", pods.node_of),),
            returns_deleted=True,
            columns=pod_columns.PODS,
        ),
        Kind(
            resource=resources.SERVICES,
            singular="service",
            short_names=("svc",),
            categories=("all",),
            strategy=services.SERVICES_STRATEGY,
            doors=(STATUS,),
            claims=(SERVICE_ADDRESSES,),
            returns_deleted=True,
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
            doors=(Issue(name="token", kind="TokenRequest", group="authentication.k8s.io", version="v1"),),
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
            doors=(STATUS, Scale()),
            columns=workload_columns.REPLICASETS,
        ),
        Kind(
            resource=resources.DEPLOYMENTS,
            singular="deployment",
            short_names=("deploy",),
            categories=("all",),
            strategy=apps.DEPLOYMENTS_STRATEGY,
            doors=(STATUS, Scale()),
            columns=workload_columns.DEPLOYMENTS,
        ),
        Kind(
            resource=resources.STATEFULSETS,
            singular="statefulset",
            short_names=("sts",),
            categories=("all",),
            strategy=apps.STATEFULSETS_STRATEGY,
            doors=(STATUS, Scale()),
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
            conversion=Conversion(events.to_core, events.from_core),
        ),
        Kind(
            resource=resources.CERTIFICATESIGNINGREQUESTS,
            singular="certificatesigningrequest",
            short_names=("csr",),
            strategy=certificates.CERTIFICATESIGNINGREQUESTS_STRATEGY,
            doors=(STATUS, certificates.Approval()),
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
        Kind(
            resource=resources.IPADDRESSES,
            singular="ipaddress",
            short_names=("ip",),
            strategy=service_networks.IPADDRESSES_STRATEGY,
            columns=network_columns.IPADDRESSES,
        ),
        Kind(
            resource=resources.SERVICECIDRS,
            singular="servicecidr",
            strategy=service_networks.SERVICECIDRS_STRATEGY,
            doors=(STATUS,),
            columns=network_columns.SERVICECIDRS,
        ),
        _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
        _review("authentication.k8s.io", "tokenreviews", "TokenReview"),
        _review("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True),
        _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
        _review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
    )
)
