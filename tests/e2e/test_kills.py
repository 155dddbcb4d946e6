"""Each of our processes killed: no container restarts, nothing acknowledged is lost, the cluster converges."""

from __future__ import annotations

import http.client
import threading
import time

import pytest

from orchestrator.lab import demo
from tests.support.lab import Cluster, a_deployment, wait_for

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

PROCESSES = (
    "api-server",
    "controllers",
    "scheduler",
    "orchestrator",
    "node-1-node-agent",
    "node-2-netproxy",
    "lab",
)


def works(cluster: Cluster, name: str) -> None:
    """The cluster does what clusters do: a new pod is scheduled, started, reported Ready, and goes away again."""
    cluster.apply(a_deployment(name, replicas=3))
    try:
        cluster.wait_rolled_out(f"deployment/{name}")
    finally:
        cluster.kubectl("delete", "deployment", name)
    wait_for("its pods to be gone", lambda: not cluster.items("pods", "-l", f"app={name}"), 60)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_harms_nobody(cluster, name):
    wait_for("the last test's pods to be gone", lambda: not cluster.items("pods", "-l", "app=after-kill"), 60)
    before = cluster.containers()
    killed = cluster.kill(name)
    if name == "lab":
        # On a machine of its own, systemd would start it again; here that is what `up` is for.
        assert cluster.wherry("up").returncode == 0
    cluster.wait_restarted(name, killed)
    cluster.wait_all_ready()
    assert cluster.containers() == before
    works(cluster, "after-kill")
    wait_for("every NodePort", lambda: len(demo.node_port_answers(cluster.lab)) == len(cluster.nodes), 20)


def test_all_of_them_at_once(cluster):
    before = cluster.containers()
    agents = [f"{node}-{part}" for node in cluster.nodes for part in ("node-agent", "netproxy")]
    killed = {name: cluster.kill(name) for name in ("api-server", "controllers", "scheduler", *agents)}
    for name, pid in killed.items():
        cluster.wait_restarted(name, pid)
    cluster.wait_all_ready()
    assert cluster.containers() == before
    works(cluster, "after-all")


class Writer(threading.Thread):
    """Creates config maps as fast as it can, and writes down which were acknowledged."""

    def __init__(self, cluster: Cluster, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"writer-{number}")
        self._cluster = cluster
        self._number = number
        self._stop_event = stop
        self.acknowledged: dict[str, str] = {}

    def run(self) -> None:
        count = 0
        while not self._stop_event.is_set():
            count += 1
            name = f"storm-{self._number}-{count}"
            body = {"metadata": {"name": name, "labels": {"storm": "yes"}}, "data": {"count": str(count)}}
            try:
                answer = self._cluster.request("POST", CONFIGMAPS, body, timeout_s=5)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)  # nobody knows whether this one was written; the next has another name
                continue
            if answer.status == 201:
                self.acknowledged[name] = answer.json["metadata"]["resourceVersion"]


@pytest.mark.parametrize("name", ["api-server", "orchestrator"])
def test_an_acknowledged_write_survives_a_kill_in_a_storm_of_writes(cluster, name):
    stop = threading.Event()
    writers = [Writer(cluster, number, stop) for number in range(8)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            time.sleep(1.0)
            cluster.wait_restarted(name, cluster.kill(name))
            wait_for("the API server", lambda: cluster.request("GET", "/readyz").status == 200, 30)
        time.sleep(0.5)
    finally:
        stop.set()
        for writer in writers:
            writer.join(20)
    acknowledged = {key: value for writer in writers for key, value in writer.acknowledged.items()}
    try:
        stored = {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"]
            for item in cluster.request("GET", f"{CONFIGMAPS}?labelSelector=storm%3Dyes").json["items"]
        }
        assert len(acknowledged) > 100
        assert {name: stored.get(name) for name in acknowledged} == acknowledged
        assert len(set(acknowledged.values())) == len(acknowledged), "every write has a revision of its own"
    finally:
        cluster.request("DELETE", f"{CONFIGMAPS}?labelSelector=storm%3Dyes")
