"""Driving a whole cluster from a test: kubectl, raw requests, its processes, its links, its engines."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.lab import demo, network, observed, record
from orchestrator.lab.engine import Engine
from orchestrator.lab.layout import API_PORT, LabLayout, prefix_of
from orchestrator.lab.processes import inside

ROOT = Path(__file__).resolve().parents[2]
WHERRY = Path(sys.executable).with_name("wherry")
POLL_S = 0.2
HEADERS_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The `reason` of a Status; empty for anything else."""
        try:
            return str(self.json.get("reason", ""))
        except ValueError:
            return ""

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))


class Cluster:
    """A lab that is up."""

    def __init__(self, state_dir: Path) -> None:
        kept = record.load(state_dir)
        assert kept is not None, f"no lab in {state_dir}"
        self.lab: LabLayout = record.layout_of(state_dir, kept)
        self.state_dir = state_dir
        self._context: ssl.SSLContext | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.lab.nodes)

    # kubectl

    def run(self, *arguments: str, stdin: str = "", timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; the result, whatever it is."""
        return subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=self.environment,
        )

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a program that is to use this cluster."""
        return os.environ | {"KUBECONFIG": str(self.lab.admin_kubeconfig), "HOME": str(self.state_dir)}

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = 90) -> str:
        """Run kubectl, which has to succeed; its output."""
        done = self.run(*arguments, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def refusal(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl, which has to fail; what it says."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stdout + done.stderr

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> str:
        return self.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(list(objects)))

    def get(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        return self.get(*arguments)["items"]

    def execute(self, pod: str, *argv: str, namespace: str = "default", timeout_s: float = 30) -> str:
        """Run a command in a pod; its output."""
        return self.kubectl("exec", "-n", namespace, pod, "--", *argv, timeout_s=timeout_s)

    # The API, as bytes

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] = HEADERS_JSON,
        timeout_s: float = 20,
    ) -> Answer:
        """One request on a connection of its own. Raises `OSError` if nobody answers."""
        connection = self.connect(timeout_s)
        try:
            data = json.dumps(body).encode() if isinstance(body, Mapping) else body
            connection.request(method, path, body=data, headers=dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def connect(self, timeout_s: float = 20) -> http.client.HTTPSConnection:
        """A connection to the API server as the administrator."""
        return http.client.HTTPSConnection(self.lab.host_address, API_PORT, timeout=timeout_s, context=self.tls)

    @property
    def tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls_of(self.lab.admin_kubeconfig)
        return self._context

    # Processes

    def pid(self, name: str) -> int:
        """The id of the process `name`, which has to run."""
        pid = observed.read_pid(self.lab.run_dir / f"{name}.pid")
        assert pid is not None, f"no pid file for {name}"
        assert observed.is_alive(pid), f"{name} ({pid}) does not run"
        return pid

    def kill(self, name: str) -> int:
        """SIGKILL the process `name`; the id it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, old_pid: int) -> None:
        """Wait until `name` runs as another process."""

        def restarted() -> bool:
            pid = observed.read_pid(self.lab.run_dir / f"{name}.pid")
            return pid not in (None, old_pid) and observed.is_alive(pid)

        wait_for(f"{name} to be started again", restarted, 30)

    @contextmanager
    def held_back(self, name: str, needed: Path) -> Iterator[None]:
        """Stop the process `name` and keep it from being started, by taking away the file it needs, meanwhile."""
        aside = needed.with_name(needed.name + ".aside")
        pid = self.pid(name)
        needed.rename(aside)
        try:
            os.kill(pid, signal.SIGTERM)
            wait_for(f"{name} to end", lambda: not observed.is_alive(pid), 30)
            yield
        finally:
            aside.rename(needed)

    def wherry(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run the `wherry` command on this cluster's state directory."""
        return wherry(*arguments, "--state-dir", str(self.state_dir), timeout_s=timeout_s)

    # Nodes

    def on_node(self, node: str, *argv: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a command in the node's network."""
        line = inside(self.lab.node(node), *argv)
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout_s, check=False)

    def spawn_on_node(self, node: str, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program in the node's network; the caller ends it."""
        return subprocess.Popen(inside(self.lab.node(node), *argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def welcomed(self, address: str) -> bool:
        """Whether nginx answers this machine at `address`."""
        return "Welcome to nginx!" in demo.answer_of(f"http://{address}/")

    def cut(self, node: str) -> None:
        network.cut(self.lab, node)

    def restore(self, node: str) -> None:
        network.restore(self.lab, node)

    def engine(self, node: str) -> Engine:
        return Engine(self.lab.node(node).engine_socket)

    def container_labels(self, node: str) -> list[Mapping[str, str]]:
        return list(self.engine(node).containers().values())

    def containers(self) -> dict[str, tuple[int, int]]:
        """Every running container of every node, with its main process: one that is restarted gets another."""
        found = {}
        for node in self.lab.nodes:
            for cgroup in observed.cgroups_of(node.cgroup):
                pids = observed.pids_in([cgroup])
                if pids:
                    found[f"{node.name}/{cgroup.name}"] = min(began(pid) for pid in pids)
        return found

    def ready_nodes(self) -> set[str]:
        return {item["metadata"]["name"] for item in self.items("nodes") if condition(item, "Ready") == "True"}

    def wait_all_ready(self, timeout_s: float = 60) -> None:
        wait_for("all nodes to be Ready", lambda: self.ready_nodes() == set(self.nodes), timeout_s)

    def wait_rolled_out(self, what: str, namespace: str = "default", timeout_s: int = 120) -> None:
        self.kubectl("rollout", "status", what, "-n", namespace, f"--timeout={timeout_s}s", timeout_s=timeout_s + 10)

    def wait_pod_ready(self, pod: str, namespace: str = "default", timeout_s: int = 60) -> None:
        self.kubectl(
            *("wait", "--for=condition=Ready", f"pod/{pod}", "-n", namespace, f"--timeout={timeout_s}s"),
            timeout_s=timeout_s + 10,
        )


def began(pid: int) -> tuple[int, int]:
    """When a process began, in clock ticks since boot, and its id. Ids start over; the oldest is the main one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return (sys.maxsize, pid)  # a child that has ended since: not the oldest
    return int(stat.rpartition(")")[2].split()[19]), pid


def wherry(*arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the `wherry` command."""
    return subprocess.run(
        [str(WHERRY), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False, cwd="/"
    )


def wait_for(what: str, holds: Callable[[], object], timeout_s: float) -> None:
    """Wait until `holds()`; a failed attempt of its own (no answer yet) counts as no."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            if holds():
                return
            last = None
        except (
            AssertionError,
            OSError,
            ValueError,
            KeyError,
            http.client.HTTPException,
            subprocess.SubprocessError,
        ) as e:
            last = e
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}; {last or ''}"
        time.sleep(POLL_S)


def condition(item: Mapping[str, Any], kind: str) -> str:
    """The status of an object's condition; empty if it has none of that type."""
    for entry in item.get("status", {}).get("conditions", ()):
        if entry["type"] == kind:
            return str(entry["status"])
    return ""


def tls_of(kubeconfig: Path) -> ssl.SSLContext:
    """A TLS context with the certificate and the CA of a kubeconfig."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return context


def kubectl_minor() -> int:
    """The minor version of the kubectl on PATH; 0 if there is none."""
    program = shutil.which("kubectl")
    if program is None:
        return 0
    said = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, text=True, check=False)
    found = re.search(r'"minor": *"(\d+)', said.stdout)
    return int(found.group(1)) if found else 0


def a_client_pod(name: str, *, node: str = "", script: str = "sleep 3600", **spec: Any) -> dict[str, Any]:
    """A busybox that runs `script`, on `node` if given."""
    placed = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", f"trap 'exit 0' TERM\n{script}"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]} | placed | spec,
    }


def a_deployment(name: str, *, replicas: int = 1, image: str = "nginx:1.16", **pod_spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": image}]}
                | pod_spec,
            },
        },
    }


def a_service(name: str, *, port: int = 80, target: int | None = None, **spec: Any) -> dict[str, Any]:
    ports = [{"port": port, "targetPort": target or port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports} | spec,
    }


def machine_snapshot(state_dir: Path) -> dict[str, Sequence[str]]:
    """What the lab of `state_dir` could leave behind on this machine, to compare before and after."""
    prefix = prefix_of(state_dir)

    def lines(*command: str, about: str) -> list[str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return sorted(line.strip() for line in done.stdout.splitlines() if about in line)

    links = [link["ifname"] for link in json.loads(network.run(("ip", "-json", "link", "show")))]
    return {
        "processes": [f"{marked.pid} {marked.name}" for marked in observed.marked_processes(state_dir)],
        "namespaces": sorted(path.name for path in Path("/run/netns").glob(f"{prefix}*")),
        "links": sorted(name for name in links if name.startswith(prefix)),
        "routes": lines("ip", "-4", "route", "show", "table", "all", about=prefix),
        "rules": lines("ip", "-4", "rule", "show", about=prefix),
        "nftables": lines("nft", "list", "tables", about=prefix),
        "iptables": lines("iptables-save", about="10.89."),
        "mounts": list(observed.mounts_below(state_dir)),
        "cgroups": [str(path) for path in observed.cgroups_of(prefix)],
        "forwarding": [network.IP_FORWARD.read_text().strip()],
    }
