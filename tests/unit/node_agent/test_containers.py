"""From a pod's spec to what the engine is told."""

from __future__ import annotations

import pytest

from node_agent.images.credentials import credentials_for
from node_agent.images.pulls import policy_of
from node_agent.pods.admission import refusal
from node_agent.pods.containers import Surroundings, container_spec, qos_class, sandbox_spec
from node_agent.pods.facts import ConfigProblem, NodeFacts
from node_agent.runtime.base import Mount, PublishedPort, Registry
from node_agent.runtime.engine_api import creation_of
from orchestrator.api.views.configuration import Secret
from tests.support.runtime import a_container, a_pod, a_seen

FACTS = NodeFacts(name="n1", address="10.0.0.1", memory_bytes=8 << 30)


def around(**fields):
    given = {
        "sandbox_id": "sb",
        "env": {"A": "1"},
        "volumes": {"data": "/pods/data"},
        "hosts_path": "/h",
        "resolv_path": "/r",
        "message_path": "/m",
        "image_user": "",
        **fields,
    }
    return Surroundings(**given)


def spec_of(container=None, *, previous=None, surroundings=None, **pod):
    made = a_pod(containers=[container or a_container()], **pod)
    return container_spec(made, made.spec.containers[0], FACTS, surroundings or around(), attempt=2, previous=previous)


def test_a_plain_container():
    spec = spec_of(a_container(command=["run", "$(A)"], args=["x"], volumeMounts=[{"name": "data", "mountPath": "/d"}]))
    assert (spec.entrypoint, spec.args, spec.env) == (("run", "1"), ("x",), ("A=1",))
    assert (spec.network, spec.ipc, spec.pid) == ("container:sb", "container:sb", "")
    assert spec.mounts == (
        Mount(source="/pods/data", target="/d"),
        Mount(source="/h", target="/etc/hosts"),
        Mount(source="/r", target="/etc/resolv.conf"),
        Mount(source="/m", target="/dev/termination-log"),
    )
    assert spec.name == "wherry_main_web_default_uid-web_2"
    assert spec.security_options == ("seccomp=unconfined",)


def test_what_the_next_back_off_is_stands_on_the_container():
    assert spec_of().labels["io.wherry.backoff-s"] == "0.0"
    assert spec_of(previous=a_seen()).labels["io.wherry.backoff-s"] == "10.0"


def test_resources_become_shares_quota_and_memory():
    resources = {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": "1500m", "memory": "2Gi"}}
    limits = spec_of(a_container(resources=resources)).limits
    assert (limits.cpu_shares, limits.cpu_quota_us, limits.memory_bytes) == (256, 150_000, 2 << 30)
    assert limits.oom_score_adj == 1000 - 1000 // 8


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({}, "BestEffort", id="nothing"),
        pytest.param({"requests": {"cpu": "1"}}, "Burstable", id="some"),
        pytest.param({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed", id="limits-are-requests"),
    ],
)
def test_qos_class(resources, expected):
    assert qos_class(a_pod(containers=[a_container(resources=resources)])) == expected


def test_the_containers_user_wins_over_the_pods():
    pod = {"securityContext": {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 7, "supplementalGroups": [8]}}
    assert spec_of(**pod).user == "5:6"
    assert spec_of(a_container(securityContext={"runAsUser": 9}), **pod).user == "9:6"
    assert spec_of(**pod).groups == ("8", "7")


@pytest.mark.parametrize(
    ("security", "image_user", "message"),
    [
        pytest.param({"runAsNonRoot": True}, "", "image will run as root", id="root"),
        pytest.param({"runAsNonRoot": True}, "00", "image will run as root", id="root-in-other-digits"),
        pytest.param({"runAsNonRoot": True}, "\u0663", "non-numeric user", id="digits-of-another-alphabet"),
        pytest.param({"runAsNonRoot": True}, "nginx", "non-numeric user", id="a-name-proves-nothing"),
    ],
)
def test_root_is_refused_where_it_may_not_be(security, image_user, message):
    with pytest.raises(ConfigProblem, match=message):
        spec_of(a_container(securityContext=security), surroundings=around(image_user=image_user))


def test_a_sub_path_may_not_leave_its_volume():
    with pytest.raises(ConfigProblem, match="subPath"):
        spec_of(a_container(volumeMounts=[{"name": "data", "mountPath": "/d", "subPath": "../x"}]))


def test_namespaces_of_the_host():
    spec = spec_of(hostPID=True, hostIPC=True)
    assert (spec.pid, spec.ipc) == ("host", "host")
    sandbox = sandbox_spec(a_pod(hostNetwork=True), FACTS, image="pause", network="wherry", attempt=0)
    assert (sandbox.network, sandbox.hostname, sandbox.ports) == ("host", "", ())


def test_a_shared_process_namespace_is_the_sandboxes():
    assert spec_of(shareProcessNamespace=True).pid == "container:sb"


def test_host_ports_are_the_sandboxes():
    pod = a_pod(containers=[a_container(ports=[{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}])])
    sandbox = sandbox_spec(pod, FACTS, image="pause", network="wherry", attempt=0)
    assert sandbox.ports == (PublishedPort(host_port=8080, container_port=80, protocol="udp"),)
    body = creation_of(sandbox, owner="n1")
    assert body["HostConfig"]["PortBindings"] == {"80/udp": [{"HostIp": "", "HostPort": "8080"}]}
    assert body["Labels"]["io.wherry.owner"] == "n1"


def test_privileges_are_only_as_low_as_the_machine_allows():
    facts = NodeFacts(name="n1", address="", oom_score_min=100)
    assert sandbox_spec(a_pod(), facts, image="p", network="w", attempt=0).limits.oom_score_adj == 100


ALLOCATABLE = {"cpu": "2", "memory": "4Gi", "pods": "3"}


def with_port(name, **port):
    return a_pod(name, containers=[a_container(ports=[{"containerPort": 80, **port}])])


@pytest.mark.parametrize(
    ("pod", "others", "expected"),
    [
        pytest.param(a_pod(), [], None, id="fits"),
        pytest.param(with_port("a", hostPort=1), [with_port("b", hostPort=1)], "NodePorts", id="port-taken"),
        pytest.param(
            with_port("a", hostPort=1, hostIP="1.1.1.1"),
            [with_port("b", hostPort=1, hostIP="2.2.2.2")],
            None,
            id="two-ips",
        ),
        pytest.param(
            with_port("a", hostPort=1), [with_port("b", hostPort=1, protocol="UDP")], None, id="another-protocol"
        ),
        pytest.param(a_pod(nodeSelector={"disk": "ssd"}), [], "NodeAffinity", id="selector"),
        pytest.param(a_pod(containers=[a_container(resources={"requests": {"cpu": "3"}})]), [], "OutOfcpu", id="cpu"),
        pytest.param(
            a_pod(containers=[a_container(resources={"requests": {"memory": "3Gi"}})]),
            [a_pod("b", containers=[a_container(resources={"requests": {"memory": "2Gi"}})])],
            "OutOfmemory",
            id="memory",
        ),
        pytest.param(a_pod(), [a_pod("b"), a_pod("c"), a_pod("d")], "OutOfpods", id="too-many"),
    ],
)
def test_the_nodes_last_look(pod, others, expected):
    refused = refusal(pod, others, node_labels={"os": "linux"}, allocatable=ALLOCATABLE)
    assert (refused and refused[0]) == expected


@pytest.mark.parametrize(
    ("image", "given", "policy"),
    [
        pytest.param("nginx", "", "Always", id="no-tag"),
        pytest.param("nginx:latest", "", "Always", id="latest"),
        pytest.param("host:5000/nginx", "", "Always", id="a-port-is-no-tag"),
        pytest.param("nginx:1.16", "", "IfNotPresent", id="tag"),
        pytest.param("nginx@sha256:00", "", "IfNotPresent", id="digest"),
        pytest.param("nginx", "Never", "Never", id="given"),
    ],
)
def test_pull_policy(image, given, policy):
    assert policy_of(image, given) == policy


def test_credentials_are_found_by_registry():
    hub = b'{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}'
    own = b'{"auths": {"r.example:5000": {"username": "x", "password": "y"}}}'
    secrets = [Secret(data={".dockerconfigjson": b"broken"})] + [
        Secret(data={".dockerconfigjson": data}) for data in (hub, own)
    ]
    assert credentials_for("nginx", secrets) == Registry(
        username="u", password="p", server="https://index.docker.io/v1/"
    )
    assert credentials_for("r.example:5000/a/b:1", secrets) == Registry(
        username="x", password="y", server="r.example:5000"
    )
    assert credentials_for("quay.io/a", secrets) is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"os": {"name": "windows"}}, "PodOSNotSupported", id="another-system"),
        pytest.param(
            {"resources": {"limits": {"cpu": "1"}}}, "PodLevelResourcesNotSupported", id="pod-level-resources"
        ),
        pytest.param({"resourceClaims": [{"name": "gpu"}]}, "PodFeatureUnsupported", id="claims"),
        pytest.param({"hostUsers": False}, "PodFeatureUnsupported", id="user-namespace"),
        pytest.param(
            {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
            "SupplementalGroupsPolicyNotSupported",
            id="strict-groups",
        ),
        pytest.param(
            {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}},
            "AppArmor",
            id="apparmor-of-the-pod",
        ),
        pytest.param(
            {"containers": [a_container(securityContext={"appArmorProfile": {"type": "Localhost"}})]},
            "AppArmor",
            id="apparmor-of-a-container",
        ),
    ],
)
def test_a_node_takes_no_pod_whose_demands_it_cannot_hold_whoever_bound_it(spec, reason):
    refused = refusal(a_pod(**spec), [], node_labels={}, allocatable=ALLOCATABLE)
    assert refused is not None
    assert refused[0] == reason


def test_a_node_takes_pods_that_only_name_what_is_so_anyway():
    spec = {
        "os": {"name": "linux"},
        "hostUsers": True,
        "resources": {},
        "securityContext": {"supplementalGroupsPolicy": "Merge", "appArmorProfile": {"type": "RuntimeDefault"}},
    }
    assert refusal(a_pod(**spec), [], node_labels={}, allocatable=ALLOCATABLE) is None
