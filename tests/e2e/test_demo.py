"""The demo answers by name and by NodePort, from pods on every node and from the machine itself."""

from __future__ import annotations

import subprocess

import pytest

from orchestrator.lab import demo
from tests.support.lab import ROOT, Cluster, a_client_pod, wait_for

NAMES = (
    "http://nginx/",
    "http://nginx.default/",
    "http://nginx.default.svc.cluster.local/",
    "http://nginx-nodeport.default.svc.cluster.local/",
    "http://web-0.web.default.svc.cluster.local:8080/",
    "http://web-1.web.default.svc.cluster.local:8080/",
    "http://web-2.web:8080/",
    "http://web:8080/",
)


@pytest.fixture(scope="module")
def pods_everywhere(cluster: Cluster):
    """A client pod on each node."""
    pods = {node: f"client-on-{node}" for node in cluster.nodes}
    cluster.apply(*(a_client_pod(pod, node=node) for node, pod in pods.items()))
    for pod in pods.values():
        cluster.wait_pod_ready(pod)
    yield pods
    cluster.kubectl("delete", "pod", *pods.values())


@pytest.mark.parametrize("url", NAMES)
@pytest.mark.usefixtures("new_kubectl")
def test_it_answers_by_name_from_pods_on_every_node(cluster, pods_everywhere, url):
    for node, pod in pods_everywhere.items():
        answer = cluster.execute(pod, "timeout", "10", "wget", "-q", "-O", "-", url)
        assert "Welcome to nginx!" in answer or "Hello from web-" in answer, node


@pytest.mark.usefixtures("new_kubectl")
def test_each_member_of_the_stateful_set_answers_under_its_own_name(cluster, pods_everywhere):
    for pod in pods_everywhere.values():
        for index in range(3):
            url = f"http://web-{index}.web.default.svc.cluster.local:8080/"
            assert f"web-{index}" in cluster.execute(pod, "timeout", "10", "wget", "-q", "-O", "-", url)


@pytest.mark.usefixtures("new_kubectl")
def test_every_node_port_answers_pods_on_every_node(cluster, pods_everywhere):
    for pod in pods_everywhere.values():
        for node in cluster.lab.nodes:
            url = f"http://{node.address}:{demo.NODE_PORT}/"
            assert "Welcome" in cluster.execute(pod, "timeout", "10", "wget", "-q", "-O", "-", url)


def test_every_node_port_answers_the_machine(cluster):
    wait_for("every NodePort", lambda: len(demo.node_port_answers(cluster.lab)) == len(cluster.nodes), 20)


def test_service_addresses_answer_programs_on_the_nodes_themselves(cluster):
    address = cluster.get("service", "nginx")["spec"]["clusterIP"]
    for node in cluster.nodes:
        done = cluster.on_node(node, "curl", "--silent", "--max-time", "10", f"http://{address}/")
        assert "Welcome to nginx!" in done.stdout, node


def test_the_demos_pods_are_spread_over_the_nodes(cluster):
    for selector in ("app=nginx", "app=web"):
        nodes = {pod["spec"]["nodeName"] for pod in cluster.items("pods", "-l", selector)}
        assert nodes == set(cluster.nodes), selector


def test_images_were_pulled_not_built_in_place(cluster):
    reasons = [event["message"] for event in cluster.items("events") if event["reason"] == "Pulled"]
    assert any("Successfully pulled image" in message for message in reasons)


def test_up_again_is_a_no_op_that_says_so(cluster):
    before = cluster.containers()
    again = cluster.wherry("up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "was up already; nothing to do" in again.stdout
    assert str(cluster.lab.admin_kubeconfig) in again.stdout
    assert cluster.containers() == before


def test_asking_for_another_number_of_nodes_is_refused(cluster):
    refused = cluster.wherry("up", "--nodes", "2")
    assert refused.returncode == 1
    assert "a cluster with 3 nodes runs" in refused.stderr


def test_every_process_has_its_id_in_the_run_directory(cluster):
    names = ["lab", "registry", "orchestrator", "api-server", "controllers", "scheduler"]
    for node in cluster.nodes:
        names += [f"{node}-{part}" for part in ("containerd", "dockerd", "node-agent", "netproxy")]
    for name in names:
        assert cluster.pid(name) > 0


def test_the_checkout_is_left_as_it_was(cluster):
    def status():
        return subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, check=False).stdout

    before = status()
    assert cluster.wherry("up").returncode == 0
    assert status() == before
