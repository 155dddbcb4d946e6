"""What holds for every object: defaults are filled once, make it valid, and are what the schema knows."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import resources
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.schema import definitions, walker
from orchestrator.api.strategies.apps import DEPLOYMENTS_STRATEGY, REPLICASETS_STRATEGY, STATEFULSETS_STRATEGY
from orchestrator.api.strategies.pods import PODS_STRATEGY, qos_class
from orchestrator.api.strategies.services import SERVICES_STRATEGY
from tests.support.manifests import a_container, a_pod, a_service, a_typical_pod, a_workload, created

WORKLOADS = {
    "Deployment": (DEPLOYMENTS_STRATEGY, resources.DEPLOYMENTS),
    "ReplicaSet": (REPLICASETS_STRATEGY, resources.REPLICASETS),
    "StatefulSet": (STATEFULSETS_STRATEGY, resources.STATEFULSETS),
}

handlers = st.sampled_from(
    [
        {"exec": {"command": ["true"]}},
        {"httpGet": {"port": 80}},
        {"httpGet": {"port": "http", "path": "/x", "scheme": "HTTPS", "httpHeaders": [{"name": "X-A", "value": "b"}]}},
        {"tcpSocket": {"port": 80}},
        {"grpc": {"port": 80}},
    ]
)
probes = st.builds(lambda handler, more: {**handler, **more}, handlers, st.sampled_from([{}, {"periodSeconds": 3}]))
amounts = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from(["1", "500m", "250m", "1500m"]),
        "memory": st.sampled_from(["64Mi", "1Gi", "1M", "1k"]),
        "ephemeral-storage": st.just("1Gi"),
    },
)
ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(1, 65535)}, optional={"protocol": st.sampled_from(["TCP", "UDP"])}
    ),
    max_size=2,
    unique_by=lambda port: port["containerPort"],
)
variables = st.lists(
    st.sampled_from(
        [
            {"name": "A", "value": "b"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "SETTING", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}},
        ]
    ),
    max_size=3,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["nginx", "nginx:1.16", "registry:5000/a/b:latest", "a@sha256:" + "0" * 64]),
        "ports": ports,
        "env": variables,
        "envFrom": st.just([{"configMapRef": {"name": "c"}}]),
        "resources": st.builds(lambda limits: {"limits": limits}, amounts)
        | st.builds(lambda requests: {"requests": requests}, amounts),
        "livenessProbe": probes,
        "readinessProbe": probes,
        "startupProbe": probes,
        "lifecycle": st.just({"preStop": {"httpGet": {"port": 80}}}),
        "volumeMounts": st.just([{"name": "data", "mountPath": "/data"}]),
        "securityContext": st.sampled_from([{"privileged": True}, {"runAsUser": 1000}]),
    },
)
sources = st.sampled_from(
    [
        {},
        {"emptyDir": {"sizeLimit": "1Gi"}},
        {"hostPath": {"path": "/var/log"}},
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
        {"secret": {"secretName": "s", "defaultMode": 0o400}},
        {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"persistentVolumeClaim": {"claimName": "c"}},
    ]
)
pod_specs = st.fixed_dictionaries(
    {
        "containers": st.lists(parts, min_size=1, max_size=3).map(
            lambda all_parts: [a_container(f"c{index}", **part) for index, part in enumerate(all_parts)]
        ),
        "volumes": sources.map(lambda source: [{"name": "data", **source}]),
        "serviceAccountName": st.just("default"),
    },
    optional={
        "hostNetwork": st.just(True),
        "dnsPolicy": st.sampled_from(["Default", "ClusterFirst"]),
        "terminationGracePeriodSeconds": st.integers(0, 600),
        "tolerations": st.just([{"operator": "Exists"}]),
        "nodeSelector": st.just({"disk": "ssd"}),
        "securityContext": st.just({"fsGroup": 1}),
        "hostname": st.just("web-0"),
    },
)


def with_distinct_host_ports(spec):
    """On the host's network every port is a host port, so no two containers may have the same."""
    if spec.get("hostNetwork"):
        for number, container in enumerate(spec["containers"]):
            for index, port in enumerate(container.get("ports", ())):
                port["containerPort"] = 1000 + 10 * number + index
    return spec


manifests = pod_specs.map(lambda spec: a_pod(**with_distinct_host_ports(copy.deepcopy(spec))))


def is_clean(obj, resource):
    """Whether the schema has nothing to remark, prune or rewrite."""
    seen = copy.deepcopy(obj)
    checked = walker.check(definitions.schema_of(resource), seen)
    return not checked.problems and not checked.unknown and seen == obj


@given(manifests)
def test_defaulted_pods_are_valid_canonical_and_stay_as_they_are(manifest):
    pod = created(PODS_STRATEGY, manifest)
    assert PODS_STRATEGY.validate_create(pod) == []
    again = copy.deepcopy(pod)
    PODS_STRATEGY.default(again)
    assert again == pod
    assert PODS_STRATEGY.validate_update(again, pod) == []
    # Resources that a manifest leaves empty are gone before a strategy sees them.
    if all(part != {} for c in pod["spec"]["containers"] for part in c["resources"].values()) and not any(
        c.get("ports") == [] or c.get("env") == [] for c in pod["spec"]["containers"]
    ):
        assert is_clean(pod, resources.PODS)


@given(manifests)
def test_the_quality_of_service_is_the_same_before_and_after_defaults(manifest):
    assert qos_class(manifest["spec"]) == qos_class(created(PODS_STRATEGY, manifest)["spec"])


@given(st.sampled_from(sorted(WORKLOADS)), pod_specs, st.integers(0, 5))
def test_defaulted_workloads_are_valid_and_stay_as_they_are(kind, spec, replicas):
    strategy, _ = WORKLOADS[kind]
    manifest = a_workload(kind, replicas=replicas)
    manifest["spec"]["template"]["spec"] = copy.deepcopy(spec)
    obj = created(strategy, manifest)
    assert strategy.validate_create(obj) == []
    again = copy.deepcopy(obj)
    strategy.default(again)
    assert again == obj
    assert strategy.validate_update(again, obj) == []


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
            "sessionAffinity": st.sampled_from(["None", "ClientIP"]),
            "ports": st.just(
                [{"port": 80, "name": "a", "targetPort": "http"}, {"port": 53, "name": "b", "protocol": "UDP"}]
            ),
        },
    )
)
def test_defaulted_services_are_valid_and_stay_as_they_are(spec):
    obj = created(SERVICES_STRATEGY, a_service(**spec))
    assert SERVICES_STRATEGY.validate_create(obj) == []
    again = copy.deepcopy(obj)
    SERVICES_STRATEGY.default(again)
    assert again == obj
    assert SERVICES_STRATEGY.validate_update(again, obj) == []
    assert is_clean(obj, resources.SERVICES)


def test_a_typical_pod_is_clean():
    assert is_clean(created(PODS_STRATEGY, a_typical_pod()), resources.PODS)


@pytest.mark.parametrize("kind", sorted(WORKLOADS))
def test_workloads_are_clean(kind):
    strategy, resource = WORKLOADS[kind]
    assert is_clean(created(strategy, a_workload(kind)), resource)


@pytest.mark.parametrize("kind", BUILT_IN.rows, ids=lambda kind: f"{kind.resource.group_resource}")
def test_no_rule_trips_over_an_empty_object(kind):
    """The schema demands nothing, so whatever is missing is for the rules to notice, not to fall over."""
    obj = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, "metadata": {}}
    strategy = kind.strategy
    strategy.default(obj)
    strategy.prepare_create(obj)
    strategy.validate_create(obj)
    strategy.warnings(obj, None)
    strategy.selectable_fields(obj)
    bare = {"metadata": {}}
    strategy.default(obj)
    strategy.prepare_update(obj, bare)
    strategy.validate_update(obj, bare)
    strategy.prepare_status_update(obj, bare)
    strategy.validate_status_update(obj, bare)
    strategy.selectable_fields({})
