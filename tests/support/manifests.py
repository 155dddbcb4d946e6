"""Manifests as users write them, for tests of the API: valid, small, and changed in one place at a time."""

from __future__ import annotations

import copy
from typing import Any

from orchestrator.api.strategies.base import Strategy

Manifest = dict[str, Any]
_MISSING = object()


def a_meta(name: str = "web", namespace: str = "default", **more: Any) -> Manifest:
    """The metadata of a namespaced object."""
    return {"name": name, "namespace": namespace, **more}


def a_container(name: str = "main", image: str = "nginx:1.16", **more: Any) -> Manifest:
    """A container with nothing but its image."""
    return {"name": name, "image": image, **more}


def a_pod(name: str = "web", *, meta: Manifest | None = None, **spec: Any) -> Manifest:
    """A pod of one container; keyword arguments are fields of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": a_meta(name, **(meta or {})),
        "spec": {"containers": [a_container()], **spec},
    }


def a_typical_pod(name: str = "web-5d4f8c7b9-x2x4x") -> Manifest:
    """A pod as a ReplicaSet makes it, with the parts most pods have."""
    pod = a_pod(name, meta={"labels": {"app": "web", "pod-template-hash": "5d4f8c7b9", "tier": "front"}})
    pod["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web-5d4f8c7b9",
            "uid": "0d1f2a3b-0000-4000-8000-000000000001",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    pod["spec"] = {
        "serviceAccountName": "default",
        "containers": [
            a_container(
                ports=[{"name": "http", "containerPort": 80}],
                env=[
                    {"name": "MODE", "value": "production"},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ],
                resources={"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                readinessProbe={"httpGet": {"path": "/healthz", "port": 80}, "periodSeconds": 5},
                volumeMounts=[
                    {"name": "content", "mountPath": "/usr/share/nginx/html"},
                    {
                        "name": "kube-api-access",
                        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                        "readOnly": True,
                    },
                ],
            )
        ],
        "volumes": [
            {"name": "content", "configMap": {"name": "content"}},
            {
                "name": "kube-api-access",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                        {
                            "configMap": {
                                "name": "kube-root-ca.crt",
                                "items": [{"key": "ca.crt", "path": "ca.crt"}],
                            }
                        },
                        {
                            "downwardAPI": {
                                "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
                            }
                        },
                    ]
                },
            },
        ],
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{condition}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
            for condition in ("not-ready", "unreachable")
        ],
    }
    return pod


def a_workload(kind: str, name: str = "web", **spec: Any) -> Manifest:
    """A Deployment, ReplicaSet or StatefulSet of one container; keyword arguments are fields of its spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": a_meta(name),
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [a_container()]}},
            **spec,
        },
    }


def a_service(name: str = "web", **spec: Any) -> Manifest:
    """A service for port 80; keyword arguments are fields of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": a_meta(name),
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def changed(manifest: Manifest, path: str, value: Any = _MISSING) -> Manifest:
    """A copy with one place set, or removed where no value is given: `changed(pod, "spec/containers/0/image", "")`."""
    result = copy.deepcopy(manifest)
    *parents, last = path.split("/")
    place: Any = result
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    key: Any = int(last) if isinstance(place, list) else last
    if value is _MISSING:
        del place[key]
    elif isinstance(place, list) and key == len(place):
        place.append(value)
    else:
        place[key] = value
    return result


def created(strategy: Strategy, manifest: Manifest) -> Manifest:
    """The object as a create would store it, without what the server adds to its metadata."""
    obj = copy.deepcopy(manifest)
    strategy.default(obj)
    strategy.prepare_create(obj)
    return obj


def refusals(strategy: Strategy, manifest: Manifest) -> list[str]:
    """What a create is refused for, as Kubernetes prints it."""
    return [str(problem) for problem in strategy.validate_create(created(strategy, manifest))]


def updated(strategy: Strategy, manifest: Manifest, old: Manifest) -> Manifest:
    """The object as an update of the stored `old` would store it."""
    obj = copy.deepcopy(manifest)
    strategy.default(obj)
    strategy.prepare_update(obj, copy.deepcopy(old))
    return obj


def update_refusals(strategy: Strategy, manifest: Manifest, old: Manifest) -> list[str]:
    """What an update of the stored `old` is refused for."""
    return [str(problem) for problem in strategy.validate_update(updated(strategy, manifest, old), old)]


def status_refusals(strategy: Strategy, manifest: Manifest, old: Manifest) -> list[str]:
    """What an update of the status of the stored `old` is refused for."""
    obj = copy.deepcopy(manifest)
    strategy.prepare_status_update(obj, copy.deepcopy(old))
    return [str(problem) for problem in strategy.validate_status_update(obj, old)]
