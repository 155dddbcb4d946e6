"""A real Prometheus, with the configuration that we ship, scrapes every daemon of the cluster."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.lab import ROOT, Cluster, a_client_pod, wait_for
from tests.support.relay import ADDRESS, a_free_port

# Job by job, what an operator would ask for: each has to have a value.
ASKED = [
    pytest.param('sum(wherry_api_requests_total{verb="list"})', id="request-rates"),
    pytest.param("sum(wherry_api_request_duration_seconds_count)", id="request-latencies"),
    pytest.param("sum(wherry_api_watches)", id="watches"),
    pytest.param("sum(wherry_store_commit_duration_seconds_count)", id="store-commits"),
    pytest.param('count(wherry_workqueue_depth{job="wherry-controllers"})', id="queue-depths"),
    pytest.param('sum(wherry_sync_duration_seconds_count{job="wherry-controllers"})', id="reconcile-times"),
    pytest.param("sum(wherry_pod_scheduling_duration_seconds_count)", id="scheduling-latency"),
    pytest.param("sum(wherry_pod_start_duration_seconds_count)", id="pod-start-latency"),
]


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float:
        """The newest value of an expression that has one; 0 if it has none."""
        found = self.get("/api/v1/query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def up(self) -> dict[str, int]:
        """Targets that answer, by job."""
        found = self.get("/api/v1/query", query="count by (job) (up == 1)")["result"]
        return {one["metric"]["job"]: int(one["value"][1]) for one in found}


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.skip("needs prometheus (scripts/test installs it)")
    directory = tmp_path_factory.mktemp("prometheus")
    config = configuration(cluster, directory)
    address = f"{ADDRESS}:{a_free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/data"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        running = Prometheus(f"http://{address}")
        wait_for("Prometheus to answer", lambda: running.get("/api/v1/status/runtimeinfo"), 30)
        yield running
    finally:
        process.terminate()
        process.wait(20)


def loopback_address(pid: int) -> str:
    """Where a process listens on loopback."""
    listed = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in listed.splitlines() if f"pid={pid}," in line and "127.0.0.1:" in line)
    return line.split()[3]


def configuration(cluster: Cluster, directory: Path) -> Path:
    """Our example with this cluster's address and keys, and a faster rhythm; nothing else is changed."""
    identity = yaml.safe_load(cluster.wherry("kubeconfig", "--user", "prometheus", "--group", "system:masters").stdout)
    user = identity["users"][0]["user"]
    (directory / "prometheus.crt").write_bytes(base64.b64decode(user["client-certificate-data"]))
    (directory / "prometheus.key").write_bytes(base64.b64decode(user["client-key-data"]))
    text = (ROOT / "config" / "prometheus" / "prometheus.yml").read_text()
    for old, new in {
        "/var/lib/wherry/": f"{cluster.state_dir}/",
        "/etc/wherry/": f"{directory}/",
        "10.89.0.1": cluster.lab.host_address,
        "scrape_interval: 15s": "scrape_interval: 1s",
        # Only the first lab of a machine has the usual loopback ports.
        "127.0.0.1:10257": loopback_address(cluster.pid("controllers")),
        "127.0.0.1:10259": loopback_address(cluster.pid("scheduler")),
    }.items():
        assert old in text
        text = text.replace(old, new)
    document = yaml.safe_load(text)
    for job in document["scrape_configs"]:
        # Debian builds its Prometheus without Kubernetes discovery; what that would find stands in its place.
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [
                {"targets": [f"{node}:0"], "labels": {"__meta_kubernetes_node_name": node}} for node in cluster.nodes
            ]
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_every_daemon_that_this_machine_reaches_is_scraped(cluster: Cluster, prometheus: Prometheus) -> None:
    expected = {
        "wherry-api-server": 1,
        "wherry-controllers": 1,
        "wherry-scheduler": 1,
        "wherry-node-agents": len(cluster.nodes),
    }
    wait_for(f"targets {expected}", lambda: expected.items() <= prometheus.up().items(), 60)


@pytest.fixture(scope="module")
def a_pod_was_started(cluster: Cluster) -> Iterator[None]:
    """Counters begin at nothing in every process: whatever ran before, something has happened since."""
    cluster.apply(a_client_pod("measured"))
    cluster.wait_pod_ready("measured")
    yield
    cluster.kubectl("delete", "pod", "measured", "--wait=false")


@pytest.mark.usefixtures("a_pod_was_started")
@pytest.mark.parametrize("expression", ASKED)
def test_what_operators_ask_for_is_there(prometheus: Prometheus, expression: str) -> None:
    wait_for(f"a value of {expression}", lambda: prometheus.value(expression) > 0, 60)


def test_each_proxy_counts_connections_bytes_and_dns_answers_on_its_own_machine(cluster: Cluster) -> None:
    for node in cluster.nodes:
        assert cluster.welcomed(f"{cluster.lab.node(node).address}:30080")
        cluster.on_node(node, "busybox", "nslookup", "nginx.default.svc.cluster.local", "10.96.0.10")
        for name in ("wherry_netproxy_connections_total", "wherry_netproxy_bytes_total", "wherry_dns_answers_total"):
            # What is counted is told after the answer was sent.
            wait_for(f"{name} on {node}", lambda node=node, name=name: f"\n{name}" in metrics(cluster, node), 20)


def metrics(cluster: Cluster, node: str) -> str:
    """What the node's proxy shows on the node itself."""
    return cluster.on_node(node, "curl", "--silent", "http://127.0.0.1:10249/metrics").stdout
