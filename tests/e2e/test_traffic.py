"""Traffic goes on: through a rolling update, and with the control plane stopped."""

from __future__ import annotations

import threading
import time
import urllib.request

import pytest

from orchestrator.lab import demo
from tests.support.lab import a_client_pod, wait_for

ASK_FOR_EVER = """
count=0; failed=0
while ! [ -e /tmp/enough ]; do
  count=$((count + 1))
  timeout 10 wget -q -O /dev/null http://nginx/ || failed=$((failed + 1))
done
echo "asked $count failed $failed"
sleep 3600 & wait $!
"""


class Asker(threading.Thread):
    """Asks a URL over and over on new connections, and counts."""

    def __init__(self, url: str) -> None:
        super().__init__(name=f"ask {url}")
        self._url = url
        self._enough = threading.Event()
        self.asked = 0
        self.failures: list[str] = []

    def run(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not self._enough.is_set():
            self.asked += 1
            try:
                with opener.open(self._url, timeout=10) as response:
                    assert b"Welcome to nginx!" in response.read()
            except (OSError, AssertionError) as failed:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {failed!r}")
            time.sleep(0.005)

    def stop(self) -> None:
        self._enough.set()
        self.join(20)


@pytest.fixture
def askers(cluster):
    """One asker for each node's NodePort."""
    threads = [Asker(f"http://{node.address}:{demo.NODE_PORT}/") for node in cluster.lab.nodes]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.stop()


@pytest.mark.usefixtures("new_kubectl")
def test_a_rolling_update_fails_not_one_request(cluster, askers):
    cluster.apply(a_client_pod("asker", script=ASK_FOR_EVER))
    cluster.wait_pod_ready("asker")
    before = {pod["metadata"]["uid"] for pod in cluster.items("pods", "-l", "app=nginx")}
    try:
        for _ in range(2):
            cluster.kubectl("rollout", "restart", "deployment/nginx")
            cluster.wait_rolled_out("deployment/nginx")
        wait_for("old pods to be gone", lambda: len(cluster.items("pods", "-l", "app=nginx")) == 3, 60)
        after = {pod["metadata"]["uid"] for pod in cluster.items("pods", "-l", "app=nginx")}
        assert not before & after
        cluster.execute("asker", "touch", "/tmp/enough")
        wait_for("the pod's count", lambda: "asked" in cluster.kubectl("logs", "asker"), 20)
        said = cluster.kubectl("logs", "asker").split()
        assert int(said[1]) > 50
        assert said[2:] == ["failed", "0"], said
        for asker in askers:
            asker.stop()
            assert asker.asked > 100
            assert asker.failures == []
    finally:
        cluster.kubectl("delete", "pod", "asker")


def test_traffic_and_dns_go_on_without_the_control_plane(cluster, askers):
    before = cluster.containers()
    with cluster.held_back("orchestrator", cluster.state_dir / "orchestrator.yaml"):
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset: nobody is there
            cluster.request("GET", "/readyz", timeout_s=2)
        asked = [asker.asked for asker in askers]
        for node in cluster.nodes:
            assert "10.244." in resolve(cluster, node, "web-0.web.default.svc.cluster.local")
            assert "10.96." in resolve(cluster, node, "nginx.default.svc.cluster.local")
        killed = cluster.kill("node-1-netproxy")
        cluster.wait_restarted("node-1-netproxy", killed)
        wait_for("DNS on node-1", lambda: "10.96." in resolve(cluster, "node-1", "nginx.default.svc.cluster.local"), 20)
        address = cluster.lab.nodes[0].address
        wait_for("its NodePort", lambda: "Welcome" in demo.answer_of(f"http://{address}:{demo.NODE_PORT}/"), 20)
        assert cluster.containers() == before
    wait_for("the API server", lambda: cluster.request("GET", "/readyz").status == 200, 60)
    cluster.wait_all_ready()
    assert cluster.containers() == before
    for asker, then in zip(askers[1:], asked[1:], strict=True):  # node-1's proxy was killed in between
        asker.stop()
        assert asker.asked > then + 50
        assert asker.failures == []


def resolve(cluster, node, name):
    """What the node's DNS says about a name."""
    return cluster.on_node(node, "busybox", "nslookup", "-type=a", name, "10.96.0.10").stdout
