"""The Docker Engine stopped under the node agent: no pod is declared dead for it, and all is as before afterwards."""

from __future__ import annotations

from tests.support.lab import condition, wait_for


def states(cluster, node):
    """The pods of a node with their phases and restart counts."""
    return {
        pod["metadata"]["name"]: (
            pod["status"]["phase"],
            [status["restartCount"] for status in pod["status"]["containerStatuses"]],
        )
        for pod in cluster.items("pods", "-A", "--field-selector", f"spec.nodeName={node}")
    }


def test_pods_keep_their_state_while_the_engine_is_away(cluster):
    node = cluster.nodes[1]
    before, containers = states(cluster, node), cluster.containers()
    config = cluster.lab.node(node).directory / "daemon.json"
    with cluster.held_back(f"{node}-dockerd", config):
        wait_for(f"{node} to say that it is not ready", lambda: node not in cluster.ready_nodes(), 60)
        ready = next(c for c in cluster.get("node", node)["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "KubeletNotReady")
        assert "runtime" in ready["message"]
        assert states(cluster, node) == before
        assert cluster.containers() == containers
        assert condition(cluster.get("node", cluster.nodes[0]), "Ready") == "True"
    cluster.wait_all_ready(60)
    assert states(cluster, node) == before
    assert cluster.containers() == containers
