"""Rows of the API server: durable creates, reads and lists over TLS by wrk, memory, and the time to start.

The server is the real process with everything on, and a store of its own on this machine's disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.table import Context, Row

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_LISTED_PODS = 20_000
_MEMORY_PODS = 25_000
_START_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """The running server."""

    url: str
    token: str
    pid: int
    tls: ssl.SSLContext
    started_s: float

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """One JSON request."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(asked, context=self.tls, timeout=60) as answer:
            return json.loads(answer.read())

    @property
    def cpu_s(self) -> float:
        """The processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime

    @property
    def rss_mb(self) -> float:
        """Its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000  # type: ignore[index]  # every process has it


def run(context: Context) -> list[Row]:
    """Measure all rows."""
    if shutil.which("wrk") is None:
        context.say("api: wrk is not installed")
        return []
    if context.against is not None:
        return _against(context, context.against.resolve())
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder, serving(Path(folder)) as server:
        rows = [
            Row("api", "start to ready, one process", server.started_s, "s", ""),
            Row("api", "memory, idle", server.rss_mb, "MB", "whole control plane <= 160 MB"),
        ]
        _prepare(server)
        context.say("api: creates")
        creates = _wrk(server, "/", context.seconds, script="create.lua", prefix="a")
        rows.append(Row("api", "durable creates", creates["rate"], "/s", ">= 3,500 /s"))
        rows.append(Row("api", "creates, p99", creates["p99_ms"], "ms", "<= 19-34 ms (a third of the peer's)"))
        context.say("api: gets")
        some = server.request("GET", "/api/v1/pods?limit=1")["items"][0]["metadata"]["name"]
        gets = _wrk(server, f"/api/v1/namespaces/default/pods/{some}", context.seconds)
        rows.append(Row("api", "gets", gets["rate"], "/s", ">= 10,680 /s"))
        rows.append(Row("api", "gets, p99", gets["p99_ms"], "ms", ""))
        context.say("api: lists")
        _fill(server, _LISTED_PODS)
        lists = _wrk(server, "/api/v1/pods", context.seconds, connections=4)
        rows.append(Row("api", f"lists of {_LISTED_PODS:,} pods", lists["mb_s"], "MB/s", ">= 225 MB/s"))
        rows.append(Row("api", "lists, p99", lists["p99_ms"], "ms", "<= 30,000 ms"))
        count = _fill(server, _MEMORY_PODS)
        rows.append(Row("api", f"memory after {count:,} pods", server.rss_mb, "MB", "<= 345 MB"))
        return rows


def _against(context: Context, other: Path) -> list[Row]:
    """The same loads on this checkout's server and another's, in turn: the machine's noise meets both alike."""
    with contextlib.ExitStack() as stack:
        servers = []
        for checkout in (_ROOT, other):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wherry-bench-"))
            servers.append(stack.enter_context(serving(Path(folder), checkout)))
            _prepare(servers[-1])
        # Reads and lists are of as many pods on either side, however many creates there were.
        for server in servers:
            _fill(server, _LISTED_PODS // 4)
        found: dict[str, tuple[list[float], list[float]]] = {}
        for number in range(context.rounds):
            context.say(f"api: round {number + 1} of {context.rounds}")
            some = [one.request("GET", "/api/v1/pods?limit=1")["items"][0]["metadata"]["name"] for one in servers]
            for index, server in enumerate(servers):
                gets = _wrk(server, f"/api/v1/namespaces/default/pods/{some[index]}", context.seconds)
                found.setdefault("gets, /s", ([], []))[index].append(gets["rate"])
                found.setdefault("processor time of a get, µs", ([], []))[index].append(gets["cpu_us"])
            for index, server in enumerate(servers):
                lists = _wrk(server, "/api/v1/pods?limit=5000", context.seconds, connections=4)
                found.setdefault("lists of 5,000 pods, MB/s", ([], []))[index].append(lists["mb_s"])
            for index, server in enumerate(servers):
                creates = _wrk(server, "/", context.seconds, script="create.lua", prefix=f"r{number}")
                found.setdefault("durable creates, /s", ([], []))[index].append(creates["rate"])
                found.setdefault("processor time of a create, µs", ([], []))[index].append(creates["cpu_us"])
                found.setdefault("creates p99, ms", ([], []))[index].append(creates["p99_ms"])
        for index, server in enumerate(servers):
            pods = _fill(server, 0)
            found.setdefault("memory a pod, KiB", ([], []))[index].append(server.rss_mb * 1000 / pods)
        return [_ratio(name, ours, theirs) for name, (ours, theirs) in found.items()]


def _ratio(name: str, ours: list[float], theirs: list[float]) -> Row:
    name, _, unit = name.rpartition(", ")
    other = statistics.median(theirs)
    beside = f"beside {other:,.1f}: {statistics.median(ours) / other:.2f} x (rounds: " + ", ".join(
        f"{one / two:.2f}" for one, two in zip(ours, theirs, strict=True)
    )
    return Row("api", name, statistics.median(ours), unit, beside + ")")


def _prepare(server: Server) -> None:
    """The default service account, which controllers would have made."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    with contextlib.suppress(urllib.error.HTTPError):  # it is there already
        server.request("POST", "/api/v1/namespaces/default/serviceaccounts", account)


def _fill(server: Server, wanted: int) -> int:
    """Create pods until there are at least so many; returns how many there are."""
    number = 0
    while True:
        page = server.request("GET", "/api/v1/pods?limit=1")
        count = len(page["items"]) + page["metadata"].get("remainingItemCount", 0)
        if count >= wanted:
            return int(count)
        number += 1
        _wrk(server, "/", 2, script="create.lua", prefix=f"f{count}-{number}")


def _wrk(
    server: Server, path: str, seconds: int, *, connections: int = 32, script: str = "", prefix: str = ""
) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "30", "--latency"]
    command += ["-s", str(_HERE / script)] if script else ["-H", f"Authorization: Bearer {server.token}"]
    environment = {**os.environ, "TOKEN": server.token, "PREFIX": prefix}
    used_s = server.cpu_s
    done = subprocess.run(
        [*command, server.url + path], capture_output=True, text=True, check=True, env=environment, timeout=seconds + 60
    )
    used_s = server.cpu_s - used_s
    text = done.stdout
    answered = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    moved = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", text)
    if answered is None or rate is None or late is None or moved is None or "Non-2xx" in text:
        raise RuntimeError(f"wrk met errors:\n{text}")
    return {
        "rate": float(rate[1]),
        "cpu_us": used_s * 1e6 / int(answered[1]),
        "p99_ms": float(late[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[late[2]],
        "mb_s": float(moved[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[moved[2]] / 1e6,
    }


@contextlib.contextmanager
def serving(state: Path, checkout: Path | None = None) -> Iterator[Server]:
    """The server of this checkout, or of another with its own environment; its state and log are in the folder."""
    token = secrets.token_hex(16)
    tokens = state / "tokens.csv"
    tokens.write_text(f'{token},bench,bench,"system:masters"\n')
    port = _free_port()
    arguments = {
        "state-dir": state,
        "port": port,
        "listen-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "token-file": tokens,
    }
    python = sys.executable if checkout in (None, _ROOT) else str(checkout / ".venv" / "bin" / "python")
    command = [python, "-m", "orchestrator.serve", "api-server"]
    command += [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    began = time.monotonic()
    with (state / "log").open("w") as log:
        home = checkout or _ROOT
        environment = {**os.environ, "PYTHONPATH": str(home)}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, env=environment)
    try:
        url = f"https://127.0.0.1:{port}"
        tls = _wait_ready(url, state, process, began)
        yield Server(url, token, process.pid, tls, time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait_ready(url: str, state: Path, process: subprocess.Popen[bytes], began: float) -> ssl.SSLContext:
    while time.monotonic() - began < _START_LIMIT_S:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, ssl.SSLError):
            tls = ssl.create_default_context(cafile=str(state / "pki" / "ca.crt"))
            with urllib.request.urlopen(f"{url}/readyz", context=tls, timeout=5):
                return tls
        time.sleep(0.02)
    raise RuntimeError(f"the server did not become ready:\n{(state / 'log').read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
