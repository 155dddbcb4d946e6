"""A tour with an unmodified kubectl: every command that people use daily does what it does on Kubernetes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time

import pytest

from tests.support.lab import a_client_pod, a_deployment, a_service, wait_for

CHATTY = "for i in 1 2 3 4 5; do echo line $i; done; sleep 0.2; echo oops >&2; sleep 3600 & wait $!"
CRASHER = "echo going down; exit 3"


@pytest.fixture(scope="module")
def home(cluster):
    """A namespace with a Deployment, its Service, a chatty pod and a crashing one."""
    name = "tour"
    cluster.run("create", "namespace", name)  # it may be there, of a run that was interrupted
    objects = [
        a_deployment("site", replicas=2),
        a_service("site"),
        a_client_pod("chatty", script=CHATTY),
        a_client_pod("crasher", script=CRASHER),
    ]
    cluster.apply(*objects, namespace=name)
    cluster.wait_rolled_out("deployment/site", name)
    cluster.wait_pod_ready("chatty", name)
    wait_for("the chatty pod's last word", lambda: "oops" in cluster.kubectl("logs", "chatty", "-n", name), 20)
    wait_for("endpoints", lambda: "10.244." in cluster.kubectl("get", "endpointslices", "-n", name), 20)
    yield name
    cluster.kubectl("delete", "namespace", name, "--timeout=90s", timeout_s=100)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        pytest.param("version", r"Server Version: v1\.36", id="version"),
        pytest.param("cluster-info", "control plane.*is running at", id="cluster-info"),
        pytest.param("api-resources", r"(?m)^deployments +deploy +apps/v1 +true +Deployment", id="api-resources"),
        pytest.param("api-versions", "(?m)^apps/v1$", id="api-versions"),
        pytest.param("get nodes", r"(?m)^NAME +STATUS +ROLES +AGE +VERSION\nnode-1 +Ready", id="get-nodes"),
        pytest.param("get nodes -o wide", "INTERNAL-IP.*CONTAINER-RUNTIME[^$]*docker://", id="get-nodes-wide"),
        pytest.param("get pods -n tour", r"(?m)^chatty +1/1 +Running +0 ", id="get-pods"),
        pytest.param("get po -n tour -o wide", r"(?m)^chatty .* 10\.244\.", id="get-pods-wide"),
        pytest.param("get all -n tour", r"(?m)^deployment.apps/site +2/2 +2 +2", id="get-all"),
        pytest.param("get svc -n tour", r"(?m)^site +ClusterIP +10\.96\.[0-9.]+ +<none> +80/TCP", id="get-services"),
        pytest.param("get deploy,rs -n tour", "replicaset.apps/site-", id="get-several-kinds"),
        pytest.param("get pods -n tour -l app=chatty -o name", "^pod/chatty\n$", id="get-by-label"),
        pytest.param(
            "get pods -n tour --field-selector=metadata.name=chatty -o name", "^pod/chatty\n$", id="get-by-field"
        ),
        pytest.param("get pods -n tour --show-labels", "app=chatty", id="get-show-labels"),
        pytest.param("get endpointslices -n tour", r"site-\w+ +IPv4 +80 +10\.244", id="get-endpointslices"),
        pytest.param("get pods -A --sort-by=.metadata.name", "client", id="get-sorted"),
        pytest.param("get pod chatty -n tour -o jsonpath={.status.phase}", "^Running$", id="get-jsonpath"),
        pytest.param("get events -n tour", "Scheduled|Pulled|Started", id="get-events"),
        pytest.param("describe pod chatty -n tour", r"Image: +busybox:1\.36", id="describe-pod"),
        pytest.param("describe node node-1", r"(?s)Capacity:.*Allocated resources", id="describe-node"),
        pytest.param("describe deployment site -n tour", "StrategyType: +RollingUpdate", id="describe-deployment"),
        pytest.param("describe service site -n tour", r"Endpoints: +10\.244", id="describe-service"),
        pytest.param("explain pod.spec.containers", "FIELDS:", id="explain"),
        pytest.param("explain deployment.spec.strategy --recursive", "maxSurge", id="explain-recursive"),
        pytest.param("logs chatty -n tour", "line 1\nline 2\nline 3\nline 4\nline 5\noops\n", id="logs"),
        pytest.param("logs chatty -n tour --tail=2", "^line 5\noops\n$", id="logs-tail"),
        pytest.param(
            "logs chatty -n tour --timestamps --since=1h", r"(?m)^\d{4}-\d\d-\d\dT.* line 1", id="logs-timestamps"
        ),
        pytest.param("logs -n tour -l app=chatty --prefix", r"\[pod/chatty/main\] line 1", id="logs-by-label"),
        pytest.param("logs -n tour deployment/site --tail=1", "", id="logs-of-a-deployment"),
        pytest.param("rollout status deployment/site -n tour", "successfully rolled out", id="rollout-status"),
        pytest.param("rollout history deployment/site -n tour", "REVISION", id="rollout-history"),
        pytest.param("auth whoami", "kubernetes-admin", id="auth-whoami"),
        pytest.param("get --raw /healthz", "^ok$", id="raw-healthz"),
    ],
)
def test_reading(cluster, home, arguments, pattern):
    assert home == "tour"
    assert re.search(pattern, cluster.kubectl(*arguments.split()))


def test_logs_of_the_container_before_the_last_restart(cluster, home):
    # It runs for a moment at each restart, and the node has a log before the API has heard of the restart.
    seen = r"crasher +0/1 +(CrashLoopBackOff|Error) +[1-9]"
    wait_for("a restart", lambda: re.search(seen, cluster.kubectl("get", "pod", "crasher", "-n", home)), 60)
    state = cluster.get("pod", "crasher", "-n", home)["status"]["containerStatuses"][0]
    assert state["restartCount"] >= 1
    assert state["lastState"]["terminated"]["exitCode"] == 3
    assert "going down" in cluster.kubectl("logs", "crasher", "-n", home, "--previous")


def test_logs_are_followed(cluster, home):
    cluster.kubectl(
        *("apply", "-n", home, "-f", "-"),
        stdin=json.dumps(
            a_client_pod("ticker", script="i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done")
        ),
    )
    cluster.wait_pod_ready("ticker", home)
    command = ["kubectl", "logs", "-f", "ticker", "-n", home]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=cluster.environment) as following:
        lines = [following.stdout.readline() for _ in range(20)]
        following.terminate()
    cluster.kubectl("delete", "pod", "ticker", "-n", home)
    assert lines == [f"tick {number}\n" for number in range(1, 21)]


@pytest.mark.usefixtures("new_kubectl")
class TestExec:
    def test_output_and_input(self, cluster, home):
        assert cluster.execute("chatty", "echo", "hello", namespace=home) == "hello\n"
        echoed = cluster.kubectl("exec", "-i", "-n", home, "chatty", "--", "cat", stdin="through\nand through\n")
        assert echoed == "through\nand through\n"

    def test_exit_status(self, cluster, home):
        assert cluster.run("exec", "-n", home, "chatty", "--", "sh", "-c", "exit 7").returncode == 7

    def test_both_streams_stay_apart(self, cluster, home):
        done = cluster.run("exec", "-n", home, "chatty", "--", "sh", "-c", "echo out; echo err >&2")
        assert (done.stdout, done.stderr) == ("out\n", "err\n")

    def test_much_output_arrives_whole(self, cluster, home):
        done = cluster.run("exec", "-n", home, "chatty", "--", "sh", "-c", "seq 1 200000")
        assert done.stdout.splitlines() == [str(number) for number in range(1, 200_001)]

    def test_a_terminal(self, cluster, home):
        said = on_a_terminal(
            ["kubectl", "exec", "-it", "-n", home, "chatty", "--", "sh"],
            b"tty; echo $((6*7)); exit\n",
            cluster.environment,
        )
        assert "/dev/pts/0" in said
        assert "42" in said

    def test_a_program_that_is_not_there(self, cluster, home):
        assert "nosuch" in cluster.refusal("exec", "-n", home, "chatty", "--", "nosuch")


@pytest.mark.usefixtures("new_kubectl")
def test_files_are_copied_both_ways(cluster, home, tmp_path):
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(bytes(range(256)) * 4096)
    cluster.kubectl("cp", "-n", home, str(sent), "chatty:/tmp/copied")
    cluster.kubectl("cp", "-n", home, "chatty:/tmp/copied", str(back))
    assert back.read_bytes() == sent.read_bytes()


@pytest.mark.usefixtures("new_kubectl")
@pytest.mark.parametrize("target", ["service/site", "deployment/site"])
def test_a_port_is_forwarded(cluster, home, target):
    command = ["kubectl", "port-forward", "-n", home, target, ":80", "--address", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=cluster.environment) as forwarding:
        try:
            port = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline()).group(1)
            for _ in range(3):
                assert cluster.welcomed(f"127.0.0.1:{port}")
        finally:
            forwarding.terminate()


def test_applying_creates_changes_and_leaves(cluster, namespace):
    wanted = a_deployment("applied", replicas=1)

    def apply():
        return cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(wanted))

    assert "applied created" in apply()
    assert "applied unchanged" in apply()
    wanted["spec"]["replicas"] = 2
    assert "applied configured" in apply()
    cluster.wait_rolled_out("deployment/applied", namespace)
    assert cluster.get("deployment", "applied", "-n", namespace)["status"]["readyReplicas"] == 2
    diff = cluster.run("diff", "-n", namespace, "-f", "-", stdin=json.dumps(wanted))
    assert diff.returncode == 0, diff.stdout + diff.stderr


def test_what_was_got_as_a_list_is_applied(cluster, namespace):
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in ("one", "two")]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    said = cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=listed)
    assert said == "configmap/one created\nconfigmap/two created\n"


def test_a_deployment_is_scaled_updated_undone_and_deleted(cluster, namespace):
    def k(*arguments):
        return cluster.kubectl(*arguments, "-n", namespace)

    k("create", "deployment", "site", "--image=nginx:1.16", "--replicas=2")
    cluster.wait_rolled_out("deployment/site", namespace)
    assert "scaled" in k("scale", "deployment/site", "--replicas=3")
    cluster.wait_rolled_out("deployment/site", namespace)
    k("set", "image", "deployment/site", "nginx=gugucone/hello:v2.1")
    k("annotate", "deployment/site", "kubernetes.io/change-cause=hello")
    cluster.wait_rolled_out("deployment/site", namespace)
    # A rollout is over whatever the annotation says: that reaches the history by itself.
    wait_for("history", lambda: re.search(r"(?m)^2 +hello", k("rollout", "history", "deployment/site")), 20)
    assert "rolled back" in k("rollout", "undo", "deployment/site")
    cluster.wait_rolled_out("deployment/site", namespace)
    assert k("get", "deploy", "site", "-o", "jsonpath={..image}") == "nginx:1.16"
    k("rollout", "pause", "deployment/site")
    k("rollout", "resume", "deployment/site")
    k("rollout", "restart", "deployment/site")
    cluster.wait_rolled_out("deployment/site", namespace)
    k("expose", "deployment", "site", "--port=80")
    k("delete", "deployment", "site", "--cascade=foreground")
    wait_for("everything of it to be gone", lambda: not cluster.items("rs,pods", "-n", namespace), 60)


def test_a_stateful_set_starts_in_order_and_stops_in_reverse(cluster, namespace):
    k = lambda *arguments: cluster.kubectl(*arguments, "-n", namespace)  # noqa: E731 - four uses in this test
    template = a_deployment("ordered", replicas=2, image="gugucone/hello:v2.1")["spec"]
    cluster.kubectl(
        *("apply", "-n", namespace, "-f", "-"),
        stdin=json.dumps(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "ordered"},
                "spec": template | {"serviceName": "ordered"},
            }
        ),
    )
    cluster.wait_rolled_out("statefulset/ordered", namespace)
    pods = {pod["metadata"]["name"]: pod for pod in cluster.items("pods", "-n", namespace)}
    assert set(pods) == {"ordered-0", "ordered-1"}
    assert started(pods["ordered-0"]) <= started(pods["ordered-1"])
    k("scale", "statefulset/ordered", "--replicas=1")
    wait_for("the last one to go", lambda: len(cluster.items("pods", "-n", namespace)) == 1, 60)
    assert cluster.items("pods", "-n", namespace)[0]["metadata"]["name"] == "ordered-0"


def started(pod):
    return pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]


def test_labels_and_annotations_are_set_and_taken_away(cluster, home):
    k = lambda *arguments: cluster.kubectl(*arguments, "-n", home)  # noqa: E731 - many uses in this test
    k("label", "pod", "chatty", "tier=test")
    assert k("get", "pods", "-l", "tier=test", "-o", "name") == "pod/chatty\n"
    assert "already has a value" in cluster.refusal("label", "pod", "chatty", "tier=other", "-n", home)
    k("label", "pod", "chatty", "tier=other", "--overwrite")
    k("label", "pod", "chatty", "tier-")
    k("annotate", "pod", "chatty", "note=once")
    annotations = cluster.get("pod", "chatty", "-n", home)["metadata"]["annotations"]
    assert annotations["note"] == "once"
    k("annotate", "pod", "chatty", "note-")


def test_waiting_for_conditions_and_deletion(cluster, namespace):
    cluster.kubectl("run", "short", "--image=busybox:1.36", "--restart=Never", "-n", namespace, "--", "sleep", "300")
    said = cluster.kubectl("wait", "--for=condition=Ready", "pod/short", "-n", namespace, "--timeout=60s")
    assert "condition met" in said
    assert "deleted" in cluster.kubectl("delete", "pod", "short", "-n", namespace, "--grace-period=1")
    assert 'pods "short" not found' in cluster.refusal("get", "pod", "short", "-n", namespace)


def test_a_pod_that_completes(cluster, namespace):
    cluster.kubectl("run", "once", "--image=busybox:1.36", "--restart=Never", "-n", namespace, "--", "echo", "done")
    wait_for("it to succeed", lambda: cluster.get("pod", "once", "-n", namespace)["status"]["phase"] == "Succeeded", 60)
    assert cluster.kubectl("logs", "once", "-n", namespace) == "done\n"
    assert re.search(r"once +0/1 +Completed", cluster.kubectl("get", "pods", "-n", namespace))


def test_a_cordoned_node_takes_no_new_pods(cluster, namespace):
    node = cluster.nodes[0]
    assert "cordoned" in cluster.kubectl("cordon", node)
    try:
        assert re.search(rf"{node} +Ready,SchedulingDisabled", cluster.kubectl("get", "nodes"))
        cluster.kubectl("create", "deployment", "elsewhere", "--image=nginx:1.16", "--replicas=4", "-n", namespace)
        cluster.wait_rolled_out("deployment/elsewhere", namespace)
        assert node not in {pod["spec"]["nodeName"] for pod in cluster.items("pods", "-n", namespace)}
    finally:
        assert "uncordoned" in cluster.kubectl("uncordon", node)


def test_config_maps_and_secrets_reach_pods(cluster, namespace):
    k = lambda *arguments: cluster.kubectl(*arguments, "-n", namespace)  # noqa: E731 - many uses in this test
    k("create", "configmap", "settings", "--from-literal=colour=blue")
    k("create", "secret", "generic", "keys", "--from-literal=password=hush")
    script = (
        "echo $COLOUR; cat /etc/keys/password; echo; cat /etc/hostname; grep -o '^tmpfs /etc/keys' /proc/mounts; "
        "sleep 3600 & wait $!"
    )
    pod = a_client_pod("reader", script=script)
    pod["spec"]["containers"][0] |= {
        "env": [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}],
        "volumeMounts": [{"name": "keys", "mountPath": "/etc/keys"}],
    }
    pod["spec"]["volumes"] = [{"name": "keys", "secret": {"secretName": "keys"}}]
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    cluster.wait_pod_ready("reader", namespace)
    # Ready says that it was started, not how far it has come.
    wait_for("its last word", lambda: "tmpfs" in k("logs", "reader"), 20)
    assert k("logs", "reader") == "blue\nhush\nreader\ntmpfs /etc/keys\n"
    assert "password:  4 bytes" in k("describe", "secret", "keys")


def test_a_deleted_namespace_takes_everything_with_it(cluster):
    cluster.kubectl("create", "namespace", "doomed")
    cluster.kubectl("create", "deployment", "site", "--image=nginx:1.16", "-n", "doomed")
    cluster.kubectl("delete", "namespace", "doomed", "--timeout=60s")
    assert 'namespaces "doomed" not found' in cluster.refusal("get", "namespace", "doomed")
    assert not [pod for pod in cluster.items("pods", "-A") if pod["metadata"]["namespace"] == "doomed"]


def on_a_terminal(command, typed, environment, timeout_s=20):
    """What a program says that runs on a terminal, with `typed` typed into it."""
    master, slave = pty.openpty()
    said = b""
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        deadline = time.monotonic() + timeout_s
        sent = False
        while time.monotonic() < deadline:
            readable, _, _ = select.select([master], [], [], 0.5)
            if not readable:
                continue
            try:
                said += os.read(master, 4096)
            except OSError:
                break  # the program has ended
            if not sent and b"#" in said:
                os.write(master, typed)
                sent = True
        process.kill()
    os.close(master)
    return said.decode(errors="replace")
