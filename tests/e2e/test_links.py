"""A node's link cut and restored: its pods are replaced elsewhere, services stop using it, nothing is doubled after."""

from __future__ import annotations

import pytest

from tests.support.lab import a_deployment, a_service, condition, wait_for

TOLERATED_S = 5
TOLERATIONS = [
    {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATED_S}
    for why in ("not-ready", "unreachable")
]


def nodes_of(cluster, namespace):
    """Where the living pods of the test's Deployment are."""
    pods = cluster.items("pods", "-n", namespace, "-l", "app=spread")
    return [pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def addresses_in_use(cluster, namespace):
    """The nodes that the Service's ready endpoints are on."""
    slices = cluster.items("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=spread")
    endpoints = [endpoint for piece in slices for endpoint in piece.get("endpoints") or ()]
    return {endpoint["nodeName"] for endpoint in endpoints if endpoint["conditions"].get("ready")}


@pytest.mark.timeout(600)
def test_a_node_that_is_cut_off_is_replaced_and_converges_when_it_returns(cluster, namespace):
    lost = cluster.nodes[-1]
    deployment = a_deployment("spread", replicas=6, tolerations=TOLERATIONS)
    cluster.apply(deployment, a_service("spread"), namespace=namespace)
    cluster.wait_rolled_out("deployment/spread", namespace)
    assert lost in nodes_of(cluster, namespace)
    wait_for("services to use it", lambda: lost in addresses_in_use(cluster, namespace), 30)

    cluster.cut(lost)
    try:
        wait_for(f"{lost} to be NotReady", lambda: lost not in cluster.ready_nodes(), 90)
        assert condition(cluster.get("node", lost), "Ready") == "Unknown"
        wait_for("its taint", lambda: "node.kubernetes.io/unreachable" in taints_of(cluster, lost), 30)
        wait_for("services to stop using it", lambda: lost not in addresses_in_use(cluster, namespace), 30)
        wait_for(
            "its pods to be replaced on other nodes",
            lambda: len(nodes_of(cluster, namespace)) == 6 and lost not in nodes_of(cluster, namespace),
            60,
        )
        cluster.wait_rolled_out("deployment/spread", namespace)
    finally:
        cluster.restore(lost)

    cluster.wait_all_ready(90)
    wait_for("the taint to go", lambda: not cluster.get("node", lost)["spec"].get("taints"), 60)
    wait_for(
        "exactly the pods that are wanted",
        lambda: len(cluster.items("pods", "-n", namespace, "-l", "app=spread")) == 6,
        90,
    )
    cluster.wait_rolled_out("deployment/spread", namespace)
    uids = {pod["metadata"]["uid"] for pod in cluster.items("pods", "-A")}
    wait_for("no container without its pod", lambda: pods_with_containers(cluster, lost) <= uids, 90)


def taints_of(cluster, node):
    """The keys of the node's taints; they are written after its conditions."""
    return {taint["key"] for taint in cluster.get("node", node)["spec"].get("taints") or ()}


def pods_with_containers(cluster, node):
    """The pods that the node's engine runs containers for, by uid."""
    return {labels["io.kubernetes.pod.uid"] for labels in cluster.container_labels(node) if labels}
