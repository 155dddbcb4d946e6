"""Bad input gives the answer that Kubernetes gives, and nothing else breaks."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from orchestrator.lab.layout import API_PORT
from tests.support.lab import HEADERS_JSON, a_client_pod, a_service, condition, wait_for

PODS = "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
YAML = {"Content-Type": "application/yaml"}
CONTAINER = {"name": "main", "image": "busybox:1.36"}


def a_pod(**spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"containers": [CONTAINER]} | spec}


def a_config_map(**meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad"} | meta}


@pytest.fixture(autouse=True)
def still_well(cluster):
    """Whatever was sent: the API server answers on, as the same process, and holds no half of it."""
    before = cluster.pid("api-server")
    yield
    assert cluster.pid("api-server") == before
    assert cluster.request("GET", "/readyz").status == 200
    assert cluster.request("GET", f"{PODS}/bad").status == 404
    assert cluster.request("GET", f"{CONFIGMAPS}/bad").status == 404


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "reason", "message"),
    [
        pytest.param(CONFIGMAPS, b"{", HEADERS_JSON, 400, "BadRequest", "", id="malformed-json"),
        pytest.param(CONFIGMAPS, b"", HEADERS_JSON, 400, "BadRequest", "", id="no-body"),
        pytest.param(CONFIGMAPS, b"[]", HEADERS_JSON, 400, "BadRequest", "", id="not-an-object"),
        pytest.param(CONFIGMAPS, b"a: [b", YAML, 400, "BadRequest", "", id="malformed-yaml"),
        pytest.param(CONFIGMAPS, b"\xff\xfe\x00", HEADERS_JSON, 400, "BadRequest", "", id="not-utf-8"),
        pytest.param(CONFIGMAPS, b"[" * 200_000, HEADERS_JSON, 400, "BadRequest", "", id="nested-without-end"),
        pytest.param(
            CONFIGMAPS, b"x", {"Content-Type": "text/plain"}, 415, "UnsupportedMediaType", "", id="media-type"
        ),
        pytest.param(CONFIGMAPS, a_pod(), HEADERS_JSON, 400, "BadRequest", "", id="another-kind-than-the-path-s"),
        pytest.param("/api/v1/namespaces/default/nosuch", {}, HEADERS_JSON, 404, "NotFound", "", id="unknown-resource"),
        pytest.param("/apis/nosuch.io/v1/things", {}, HEADERS_JSON, 404, "NotFound", "", id="unknown-group"),
        pytest.param(CONFIGMAPS, a_config_map() | {"data": {"a": 1}}, HEADERS_JSON, 400, "BadRequest", "", id="type"),
        pytest.param(
            CONFIGMAPS, a_config_map(name="Not_A_Name"), HEADERS_JSON, 422, "Invalid", "RFC 1123", id="bad-name"
        ),
        pytest.param(
            CONFIGMAPS,
            a_config_map(labels={"k": "not ok"}),
            HEADERS_JSON,
            422,
            "Invalid",
            "metadata.labels",
            id="label",
        ),
        pytest.param(
            CONFIGMAPS,
            a_config_map(namespace="other"),
            HEADERS_JSON,
            400,
            "BadRequest",
            "namespace",
            id="namespaces-differ",
        ),
        pytest.param(
            "/api/v1/namespaces/nosuch/configmaps",
            a_config_map(),
            HEADERS_JSON,
            404,
            "NotFound",
            "nosuch",
            id="namespace",
        ),
        pytest.param(PODS, a_pod(containers=[]), HEADERS_JSON, 422, "Invalid", "spec.containers", id="no-containers"),
        pytest.param(
            PODS,
            a_pod(containers=[{"name": "main"}]),
            HEADERS_JSON,
            422,
            "Invalid",
            "spec.containers[0].image: Required value",
            id="no-image",
        ),
        pytest.param(
            PODS,
            a_pod(restartPolicy="Sometimes"),
            HEADERS_JSON,
            422,
            "Invalid",
            'spec.restartPolicy: Unsupported value: "Sometimes"',
            id="unsupported-value",
        ),
    ],
)
def test_a_bad_create_is_refused(cluster, path, body, headers, status, reason, message):
    answer = cluster.request("POST", path, body, headers=headers)
    assert answer.status == status, answer.body
    assert (answer.json["kind"], answer.json["status"]) == ("Status", "Failure")
    assert answer.reason == reason
    assert message in answer.message


def test_a_body_over_the_limit_is_refused(cluster):
    body = a_config_map() | {"data": {"much": "x" * (4 << 20)}}
    try:
        answer = cluster.request("POST", CONFIGMAPS, body)
    except OSError:
        return  # the server may hang up on a body it does not want to hear out
    assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")


def test_unknown_fields_are_refused_or_warned_about_as_asked(cluster):
    body = a_config_map() | {"nosuch": 1}
    strict = cluster.request("POST", f"{CONFIGMAPS}?fieldValidation=Strict&dryRun=All", body)
    assert (strict.status, strict.reason) == (400, "BadRequest")
    assert 'unknown field "nosuch"' in strict.message
    assert cluster.request("POST", f"{CONFIGMAPS}?fieldValidation=Ignore&dryRun=All", body).status == 201
    said = cluster.run("create", "-f", "-", "--dry-run=server", "--validate=warn", stdin=json.dumps(body))
    assert said.returncode == 0
    assert 'unknown field "nosuch"' in said.stderr


def test_a_stale_resource_version_is_a_conflict(cluster):
    made = cluster.request("POST", CONFIGMAPS, a_config_map(name="stale")).json
    try:
        assert cluster.request("PUT", f"{CONFIGMAPS}/stale", made | {"data": {"a": "1"}}).status == 200
        late = cluster.request("PUT", f"{CONFIGMAPS}/stale", made | {"data": {"a": "2"}})
        assert (late.status, late.reason) == (409, "Conflict")
        assert "the object has been modified" in late.message
        assert cluster.request("GET", f"{CONFIGMAPS}/stale").json["data"] == {"a": "1"}
    finally:
        assert cluster.request("DELETE", f"{CONFIGMAPS}/stale").status == 200


def test_creating_or_deleting_twice_says_so(cluster):
    assert cluster.request("POST", CONFIGMAPS, a_config_map(name="twice")).status == 201
    again = cluster.request("POST", CONFIGMAPS, a_config_map(name="twice"))
    assert (again.status, again.reason) == (409, "AlreadyExists")
    assert cluster.request("DELETE", f"{CONFIGMAPS}/twice").status == 200
    gone = cluster.request("DELETE", f"{CONFIGMAPS}/twice")
    assert (gone.status, gone.reason) == (404, "NotFound")
    assert gone.message == 'configmaps "twice" not found'


def test_nobody_gets_in_without_credentials(cluster):
    context = ssl.create_default_context(cafile=str(cluster.state_dir / "pki" / "ca.crt"))
    with (
        socket.create_connection((cluster.lab.host_address, API_PORT), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=cluster.lab.host_address) as stream,
    ):
        stream.sendall(b"GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 403 " in stream.recv(4096)


@pytest.mark.parametrize("noise", [b"\x00" * 4096, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" * 100])
def test_noise_on_the_port_harms_nobody(cluster, noise):
    with socket.create_connection((cluster.lab.host_address, API_PORT), timeout=10) as plain:
        plain.sendall(noise)


def test_kubectl_shows_the_refusal(cluster):
    said = cluster.refusal("apply", "-f", "-", stdin=json.dumps(a_pod(restartPolicy="Sometimes")))
    assert 'The Pod "bad" is invalid: spec.restartPolicy: Unsupported value: "Sometimes"' in said
    assert 'pods "nosuch" not found' in cluster.refusal("get", "pod", "nosuch")
    assert "the server doesn't have a resource type" in cluster.refusal("get", "nosuchthings")


def test_an_image_that_does_not_exist_is_reported_and_tried_again_ever_later(cluster, namespace):
    pod = a_client_pod("noimage")
    pod["spec"]["containers"][0]["image"] = "nosuch/image:1"
    cluster.apply(pod, namespace=namespace)

    def waiting():
        statuses = cluster.get("pod", "noimage", "-n", namespace)["status"].get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("waiting", {}).get("reason")

    wait_for("the pull to fail", lambda: waiting() in ("ErrImagePull", "ImagePullBackOff"), 60)
    wait_for("the pull to back off", lambda: waiting() == "ImagePullBackOff", 60)
    assert cluster.get("pod", "noimage", "-n", namespace)["status"]["phase"] == "Pending"

    def reasons():
        return {event["reason"] for event in cluster.items("events", "-n", namespace)}

    wait_for("events that say so", lambda: {"Pulling", "Failed", "BackOff"} <= reasons(), 20)


def test_a_pod_that_fits_nowhere_says_why(cluster, namespace):
    pod = a_client_pod("toolarge")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
    cluster.apply(pod, namespace=namespace)
    wait_for(
        "the scheduler's word",
        lambda: condition(cluster.get("pod", "toolarge", "-n", namespace), "PodScheduled") == "False",
        20,
    )
    conditions = cluster.get("pod", "toolarge", "-n", namespace)["status"]["conditions"]
    scheduled = next(entry for entry in conditions if entry["type"] == "PodScheduled")
    assert scheduled["reason"] == "Unschedulable"
    assert scheduled["message"].startswith("0/3 nodes are available: 3 Insufficient cpu")
    wait_for(
        "its event",
        lambda: any(event["reason"] == "FailedScheduling" for event in cluster.items("events", "-n", namespace)),
        20,
    )


def test_a_host_port_is_given_once_per_node(cluster, namespace):
    pods = []
    for index in range(4):
        pod = a_client_pod(f"port-{index}")
        pod["spec"]["containers"][0]["ports"] = [{"containerPort": 8080, "hostPort": 18080}]
        pods.append(pod)
    cluster.apply(*pods, namespace=namespace)

    def settled():
        found = cluster.items("pods", "-n", namespace)
        phases = sorted(pod["status"]["phase"] for pod in found)
        return phases == ["Pending", "Running", "Running", "Running"]

    wait_for("three to run and one to wait", settled, 60)

    def refusals():
        for pod in cluster.items("pods", "-n", namespace):
            yield from (c for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled")

    wait_for("the reason", lambda: any("free ports" in (said.get("message") or "") for said in refusals()), 20)


def test_a_node_port_that_a_program_of_the_node_holds_breaks_no_other(cluster, namespace):
    """The proxy cannot have that port on that node; everything else of it works on."""
    node = cluster.nodes[0]
    holder = cluster.spawn_on_node(node, "busybox", "nc", "-l", "-p", "30099")
    try:
        listening = ("ss", "-ltnH", "sport", "=", ":30099")
        wait_for("the program to hold the port", lambda: cluster.on_node(node, *listening).stdout, 20)
        service = a_service(
            "taken", type="NodePort", ports=[{"port": 80, "nodePort": 30099}], selector={"app": "nginx"}
        )
        other = a_service("free", type="NodePort", ports=[{"port": 80, "nodePort": 30098}], selector={"app": "nginx"})
        cluster.apply(service, other)
        for laid in cluster.lab.nodes:
            wait_for(f"port 30098 on {laid.name}", lambda laid=laid: cluster.welcomed(f"{laid.address}:30098"), 20)
        other_node = cluster.lab.nodes[1]
        wait_for(f"port 30099 on {other_node.name}", lambda: cluster.welcomed(f"{other_node.address}:30099"), 20)
    finally:
        holder.kill()
        holder.wait()
        cluster.kubectl("delete", "service", "taken", "free")


def test_a_node_port_is_given_once_and_only_in_its_range(cluster):
    taken = a_service("bad-port", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    answer = cluster.request("POST", "/api/v1/namespaces/default/services", taken)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "provided port is already allocated" in answer.message
    outside = a_service("bad-port", type="NodePort", ports=[{"port": 80, "nodePort": 99}])
    answer = cluster.request("POST", "/api/v1/namespaces/default/services", outside)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "not in the valid range" in answer.message
