"""Builders for controllers' tests: views with valid defaults, and whole objects as users write them."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.api.views.cluster import Namespace, Node, Service
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.workloads import Deployment, Pod, ReplicaSet, StatefulSet

NOW = 1_700_000_000.0
CREATED = "2023-11-14T21:00:00Z"


def pod_template(image: str = "nginx:1", *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A pod template with one container."""
    container = {"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"containers": [container], **spec}}


def deployment_body(
    name: str,
    *,
    namespace: str = "default",
    replicas: int = 1,
    strategy: str = "RollingUpdate",
    max_surge: int | str = "25%",
    max_unavailable: int | str = "25%",
    toleration_s: int = 300,
) -> Object:
    """A Deployment as a user writes it."""
    rolling = {"rollingUpdate": {"maxSurge": max_surge, "maxUnavailable": max_unavailable}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": strategy, **(rolling if strategy == "RollingUpdate" else {})},
            "template": pod_template(
                tolerations=[_tolerates(key, toleration_s) for key in ("not-ready", "unreachable")]
            ),
        },
    }


def _tolerates(key: str, seconds: int) -> Object:
    return {
        "key": f"node.kubernetes.io/{key}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": seconds,
    }


def statefulset_body(name: str, *, replicas: int = 1, policy: str = "OrderedReady") -> Object:
    """A StatefulSet as a user writes it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": "web"}},
            "template": pod_template(),
        },
    }


def service_body(name: str) -> Object:
    """A Service in front of the pods that the builders here make."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterIP": "10.96.7.7",
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def namespace_body(name: str) -> Object:
    """A namespace, with the finalizer that the server gives it."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def a_view(view: type[Any], obj: Object) -> Any:
    """The view of a whole object."""
    return codec.decode_into(codec.encode(obj), view)


def owner_body(kind: str, name: str, uid: str) -> Object:
    """A controller's owner reference."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def a_pod(
    name: str,
    *,
    owner: str | None = "uid-web",
    kind: str = "ReplicaSet",
    labels: dict[str, str] | None = None,
    node: str = "n1",
    phase: str = "Running",
    ready: bool = True,
    ready_since: str = CREATED,
    terminating: bool = False,
    ip: str = "10.244.0.2",
    **meta: Any,
) -> Pod:
    """A running, ready pod that the ReplicaSet `web` owns."""
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ready_since}
    body: Object = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": CREATED,
            "labels": {"app": "web"} if labels is None else labels,
            **({"ownerReferences": [owner_body(kind, "web", owner)]} if owner else {}),
            **({"deletionTimestamp": CREATED} if terminating else {}),
            **meta,
        },
        "spec": {"nodeName": node, "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": phase, "podIP": ip, "conditions": [condition]},
    }
    pod: Pod = a_view(Pod, body)
    return pod


def a_replicaset(
    replicas: int,
    *,
    name: str = "web",
    image: str = "nginx:1",
    available: int = 0,
    size: int | None = None,
    min_ready_s: int = 0,
    annotations: dict[str, str] | None = None,
    created: str = CREATED,
    owner: str | None = None,
    hash_label: str = "",
    **meta: Any,
) -> ReplicaSet:
    """A ReplicaSet that wants so many pods; `size` (default: replicas) of them exist, `available` are available."""
    labels = {"app": "web", **({"pod-template-hash": hash_label} if hash_label else {})}
    present = replicas if size is None else size
    body: Object = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": created,
            "labels": labels,
            "annotations": annotations or {},
            **({"ownerReferences": [owner_body("Deployment", "web", owner)]} if owner else {}),
            **meta,
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": min_ready_s,
            "selector": {"matchLabels": labels},
            "template": pod_template(image, labels=labels),
        },
        "status": {
            "replicas": present,
            "readyReplicas": available,
            "availableReplicas": available,
            "observedGeneration": 1,
        },
    }
    rs: ReplicaSet = a_view(ReplicaSet, body)
    return rs


def a_deployment(replicas: int, *, image: str = "nginx:1", status: Object | None = None, **spec: Any) -> Deployment:
    """The Deployment `web` with Kubernetes' defaults."""
    body = deployment_body("web", replicas=replicas)
    body["metadata"] |= {"uid": "uid-deployment", "generation": 1}
    body["spec"]["template"] = pod_template(image)
    body["spec"] |= {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, **spec}
    body["status"] = status or {}
    deployment: Deployment = a_view(Deployment, body)
    return deployment


def a_statefulset(replicas: int, *, image: str = "nginx:1", status: Object | None = None, **spec: Any) -> StatefulSet:
    """The StatefulSet `web`."""
    body = statefulset_body("web", replicas=replicas)
    body["metadata"] |= {"uid": "uid-web", "generation": 1}
    body["spec"]["template"] = pod_template(image)
    body["spec"] |= {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, **spec}
    body["status"] = status or {}
    sts: StatefulSet = a_view(StatefulSet, body)
    return sts


def a_service(**spec: Any) -> Service:
    """The Service `web`."""
    body = service_body("web")
    body["metadata"]["uid"] = "uid-service"
    body["spec"] |= spec
    service: Service = a_view(Service, body)
    return service


def a_node(name: str = "n1", *, ready: str | None = "True", reason: str = "KubeletReady", **spec: Any) -> Node:
    """A node whose agent says that all is well; `ready` None: it has said nothing yet."""
    condition = {"type": "Ready", "status": ready, "reason": reason, "lastHeartbeatTime": CREATED}
    body: Object = {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": CREATED},
        "spec": spec,
        "status": {"conditions": [condition] if ready else []},
    }
    node: Node = a_view(Node, body)
    return node


def a_namespace(name: str = "team", *, terminating: bool = False) -> Namespace:
    """A namespace."""
    body = namespace_body(name)
    if terminating:
        body["metadata"]["deletionTimestamp"] = CREATED
    namespace: Namespace = a_view(Namespace, body)
    return namespace


def meta(name: str, **fields: Any) -> ObjectMeta:
    """An object's metadata."""
    given: Object = {"name": name, "namespace": "default", "uid": f"uid-{name}", **fields}
    return msgspec.convert(given, ObjectMeta)
