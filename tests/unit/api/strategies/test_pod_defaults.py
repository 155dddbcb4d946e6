"""A pod comes back from the API with everything filled in that Kubernetes fills in."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.pod_defaults import default_template, pull_policy
from orchestrator.api.strategies.pods import PODS_STRATEGY
from tests.support.manifests import a_container, a_meta, a_pod, a_typical_pod, changed, created


def test_the_smallest_pod_gets_every_default():
    assert created(PODS_STRATEGY, a_pod()) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": a_meta("web"),
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "nginx:1.16",
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


@pytest.mark.parametrize(
    ("spec", "field", "expected"),
    [
        pytest.param({"priorityClassName": "system-node-critical"}, "priority", 2_000_001_000, id="node-critical"),
        pytest.param({"priorityClassName": "system-cluster-critical"}, "priority", 2_000_000_000, id="critical"),
        pytest.param({"priority": 7}, "priority", 7, id="a-priority-is-kept"),
        pytest.param({"preemptionPolicy": "Never"}, "preemptionPolicy", "Never", id="a-preemption-policy-is-kept"),
        pytest.param({"enableServiceLinks": False}, "enableServiceLinks", False, id="links-switched-off-stay-off"),
        pytest.param({"serviceAccount": "a"}, "serviceAccountName", "a", id="the-old-name-is-the-new-one"),
        pytest.param({"serviceAccountName": "a"}, "serviceAccount", "a", id="the-new-name-is-the-old-one"),
    ],
)
def test_what_is_said_is_kept(spec, field, expected):
    assert created(PODS_STRATEGY, a_pod(**spec))["spec"][field] == expected


def test_a_typical_pod_gets_defaults_in_every_part():
    pod = created(PODS_STRATEGY, a_typical_pod())
    (container,) = pod["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 80, "protocol": "TCP"}]
    assert container["env"][1] == {
        "name": "POD_IP",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
    }
    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"memory": "128Mi"},
    }
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/healthz", "port": 80, "scheme": "HTTP"},
        "periodSeconds": 5,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    content, access = pod["spec"]["volumes"]
    assert content == {"name": "content", "configMap": {"name": "content", "defaultMode": 420}}
    assert access["projected"]["defaultMode"] == 420
    token, _, downward = access["projected"]["sources"]
    assert token == {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    assert downward["downwardAPI"]["items"][0]["fieldRef"] == {
        "apiVersion": "v1",
        "fieldPath": "metadata.namespace",
    }
    assert pod["spec"]["serviceAccount"] == pod["spec"]["serviceAccountName"] == "default"
    assert pod["status"] == {"phase": "Pending", "qosClass": "Burstable"}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param({}, {"emptyDir": {}}, id="nothing-is-an-empty-dir"),
        pytest.param({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}, id="an-empty-dir-stays"),
        pytest.param({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}, id="host-path-type"),
        pytest.param(
            {"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}, id="secret-mode"
        ),
        pytest.param(
            {"secret": {"secretName": "s", "defaultMode": 256}},
            {"secret": {"secretName": "s", "defaultMode": 256}},
            id="a-given-mode-stays",
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "l", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
            {
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [{"path": "l", "resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}],
                }
            },
            id="divisor",
        ),
        pytest.param(
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
            id="token-lasts-an-hour",
        ),
        pytest.param(
            {"image": {"reference": "data:1"}},
            {"image": {"reference": "data:1", "pullPolicy": "IfNotPresent"}},
            id="image-volume",
        ),
    ],
)
def test_volumes(volume, expected):
    pod = created(PODS_STRATEGY, a_pod(volumes=[{"name": "data", **volume}]))
    assert pod["spec"]["volumes"] == [{"name": "data", **expected}]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.16", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1.16", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "a" * 64, "Always"),
        ("", "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image, policy):
    assert pull_policy(image) == policy


def test_limits_are_requests_where_none_are_given():
    container = a_container(resources={"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"memory": "512Mi"}})
    pod = created(PODS_STRATEGY, a_pod(containers=[container]))
    assert pod["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "500m", "memory": "512Mi"},
    }


def test_on_the_hosts_network_ports_are_host_ports():
    container = a_container(ports=[{"containerPort": 80}])
    pod = created(PODS_STRATEGY, a_pod(containers=[container], hostNetwork=True))
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        pytest.param({"exec": {"command": ["true"]}}, {"exec": {"command": ["true"]}}, id="exec"),
        pytest.param({"grpc": {"port": 1}}, {"grpc": {"port": 1, "service": ""}}, id="grpc"),
        pytest.param(
            {"httpGet": {"port": "http"}}, {"httpGet": {"port": "http", "path": "/", "scheme": "HTTP"}}, id="http"
        ),
    ],
)
@pytest.mark.parametrize("kind", ["livenessProbe", "readinessProbe", "startupProbe"])
def test_probes(kind, probe, expected):
    pod = created(PODS_STRATEGY, a_pod(containers=[a_container(**{kind: probe})]))
    numbers = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert pod["spec"]["containers"][0][kind] == expected | numbers


def test_hooks_get_a_path_and_a_scheme():
    container = a_container(lifecycle={"preStop": {"httpGet": {"port": 80}}})
    pod = created(PODS_STRATEGY, a_pod(containers=[container]))
    assert pod["spec"]["containers"][0]["lifecycle"] == {
        "preStop": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}}
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dnsPolicy", "Default"),
        ("restartPolicy", "Never"),
        ("terminationGracePeriodSeconds", 0),
        ("schedulerName", "mine"),
        ("enableServiceLinks", False),
        ("priority", 7),
        ("preemptionPolicy", "Never"),
        ("securityContext", {"runAsUser": 0}),
    ],
)
def test_what_is_given_stays(field, value):
    assert created(PODS_STRATEGY, a_pod(**{field: value}))["spec"][field] == value


def test_the_two_classes_of_every_cluster_have_their_priorities():
    assert created(PODS_STRATEGY, a_pod(priorityClassName="system-node-critical"))["spec"]["priority"] == 2000001000
    assert created(PODS_STRATEGY, a_pod(priorityClassName="system-cluster-critical"))["spec"]["priority"] == 2000000000


def test_a_template_gets_no_defaults_that_only_pods_have():
    template = {"metadata": {}, "spec": {"containers": [a_container(resources={"limits": {"cpu": "1"}})]}}
    default_template(template)
    assert template["spec"] == {
        "containers": [
            {
                "name": "main",
                "image": "nginx:1.16",
                "imagePullPolicy": "IfNotPresent",
                "resources": {"limits": {"cpu": "1"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


def test_a_clients_status_is_dropped_and_gates_are_told():
    manifest = changed(a_pod(schedulingGates=[{"name": "example.com/wait"}]), "status", {"phase": "Running"})
    assert created(PODS_STRATEGY, manifest)["status"] == {
        "phase": "Pending",
        "qosClass": "BestEffort",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ],
    }
