"""Rows of the service proxy: its data path against HAProxy in TCP mode and the direct way, and DNS answers per second.

Everything runs on loopback and on one processor: nginx behind, wrk before, each round measuring every way in turn, so
that the ratio to the direct way means something on a noisy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvloop

from netproxy.dns import wire
from netproxy.dns.chain import Chain
from netproxy.dns.plugins.cache import Cache
from netproxy.dns.plugins.forward import Forward, Resolvers
from netproxy.dns.plugins.kubernetes import Kubernetes
from netproxy.dns.records import Zone, names_of
from netproxy.dns.server import Server
from netproxy.forward.pool import WorkerPool
from netproxy.rules import Backend, Frontend, Rule
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.api.views.network import Service, ServicePort, ServiceSpec
from orchestrator.machinery.clock import SystemClock
from scripts.benchmarks.table import Context, Row, rendered

BACKEND = ("127.0.0.1", 18_080)
HAPROXY = ("127.0.0.1", 18_081)
OURS = ("127.0.0.2", 18_080)
DNS = ("127.0.0.1", 18_053)
IDLE_CONNECTIONS = 4_000
BULK_BYTES = 64 << 20
DNS_BAR_PER_S = 17_000

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log /dev/null;
events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d;
  scgi_temp_path {dir}/e;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {dir}/www; }}
}}
"""
HAPROXY_CONFIG = """
global
  maxconn 6000
  nbthread 1
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen proxy
  bind {bind}
  server nginx {backend}
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of using a connection, and the wrk arguments that do it."""

    name: str
    connections: int
    close: bool = False
    bulk: bool = False


KINDS = (
    Kind("1 KiB keep-alive", 32),
    Kind("one connection", 1),
    Kind("a new connection per request", 32, close=True),
    Kind("bulk", 2, bulk=True),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The median ratio to the direct way, of us and of HAProxy, and our rate (requests or MB per second)."""

    kind: str
    ours: float
    haproxy: float
    rate: float


def measure(rounds: int, seconds: int, *, say: Callable[[str], None]) -> tuple[list[Result], dict[str, float]]:
    """Every kind in interleaved rounds, then the memory of an idle connection in KiB. Needs nginx, haproxy and wrk."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})  # inherited by everything that is started
    try:
        return asyncio.run(_measure(rounds, seconds, say))
    finally:
        os.sched_setaffinity(0, processors)


async def _measure(rounds: int, seconds: int, say: Callable[[str], None]) -> tuple[list[Result], dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as text:
        directory = Path(text)
        with _nginx(directory), _haproxy(directory) as haproxy:
            async with _ours() as pids:
                rates: dict[tuple[str, str], list[float]] = {}
                ways = {"direct": BACKEND, "haproxy": HAPROXY, "ours": OURS}
                for number in range(rounds):
                    for kind in KINDS:
                        for way in list(ways) if number % 2 == 0 else reversed(list(ways)):
                            rate = await asyncio.to_thread(_wrk, ways[way], kind, seconds)
                            rates.setdefault((kind.name, way), []).append(rate)
                    say(f"proxy: round {number + 1} of {rounds} done")
                memory = {
                    "haproxy": await asyncio.to_thread(_idle_kib, HAPROXY, haproxy),
                    "ours": await asyncio.to_thread(_idle_kib, OURS, pids[0]),
                }
    return [_result(kind, rates) for kind in KINDS], memory


def _result(kind: Kind, rates: dict[tuple[str, str], list[float]]) -> Result:
    def ratio(way: str) -> float:
        pairs = zip(rates[kind.name, way], rates[kind.name, "direct"], strict=True)
        return statistics.median(one / direct for one, direct in pairs if direct)

    return Result(kind.name, ratio("ours"), ratio("haproxy"), statistics.median(rates[kind.name, "ours"]))


def _wrk(address: tuple[str, int], kind: Kind, seconds: int) -> float:
    path = "big" if kind.bulk else "1k"
    command = ["wrk", "-t1", f"-c{kind.connections}", f"-d{seconds}", f"http://{address[0]}:{address[1]}/{path}"]
    if kind.close:
        command += ["-H", "Connection: close"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if kind.bulk:
        found = re.search(r"Transfer/sec:\s+([\d.]+)(K|M|G)B", said)
        return float(found[1]) * {"K": 1e-3, "M": 1.0, "G": 1024.0}[found[2]] if found else 0.0
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return float(found[1]) if found else 0.0


def _idle_kib(address: tuple[str, int], pid: int) -> float:
    """What `pid` grows by for each connection that has said something once and then nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE_CONNECTIONS + 1024), hard))
    before = _rss_kib(pid)
    clients: list[socket.socket] = []
    try:
        for _ in range(IDLE_CONNECTIONS):
            client = socket.create_connection(address)
            client.sendall(b"GET /1k HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(4096)
            clients.append(client)
        return (_rss_kib(pid) - before) / IDLE_CONNECTIONS
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _rss_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


@contextlib.contextmanager
def _nginx(directory: Path) -> Iterator[None]:
    www = directory / "www"
    www.mkdir()
    (www / "1k").write_bytes(b"x" * 1024)
    (www / "big").write_bytes(bytes(BULK_BYTES))
    for path in (directory, www):
        path.chmod(0o755)
    (directory / "nginx.conf").write_text(NGINX.format(dir=directory, port=BACKEND[1]))
    with _running(["nginx", "-e", "/dev/null", "-c", str(directory / "nginx.conf")], BACKEND):
        yield


@contextlib.contextmanager
def _haproxy(directory: Path) -> Iterator[int]:
    config = directory / "haproxy.cfg"
    config.write_text(HAPROXY_CONFIG.format(bind=_text(HAPROXY), backend=_text(BACKEND)))
    with _running(["haproxy", "-db", "-q", "-f", str(config)], HAPROXY) as pid:
        yield pid


def _text(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


@contextlib.asynccontextmanager
async def _ours() -> AsyncIterator[tuple[int, ...]]:
    pool = WorkerPool(1, SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pool.run(), name="workers")
        pool.apply({Frontend("TCP", *OURS): Rule("bench/nginx", (Backend(*BACKEND),))})
        async with asyncio.timeout(10):
            await pool.wait_applied(pool.serial)
        yield pool.pids
        task.cancel()


@contextlib.contextmanager
def _running(command: list[str], address: tuple[str, int]) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(address, timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not listen on {address}") from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure_dns(seconds: float) -> tuple[float, float]:
    """Answers per second of processor time, and the 99th percentile of latency in ms at half the bar's rate."""
    command = [sys.executable, __file__, "serve-dns"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(DNS)
                client.settimeout(2.0)
                return _dns_rate(client, server.pid, seconds), _dns_latency_ms(client, seconds)
        finally:
            server.terminate()


def _dns_rate(client: socket.socket, pid: int, seconds: float) -> float:
    queries = _queries()
    used, answered, sent, end = _cpu_s(pid), 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        while sent < answered + 32:
            client.send(queries[sent % len(queries)])
            sent += 1
        client.recv(4096)
        answered += 1
    for _ in range(sent - answered):
        client.recv(4096)
    return sent / max(0.01, _cpu_s(pid) - used)


def _dns_latency_ms(client: socket.socket, seconds: float) -> float:
    queries, taken = _queries(), []
    interval_s = 2 / DNS_BAR_PER_S
    due = time.perf_counter()
    for number in range(int(seconds / interval_s)):
        while time.perf_counter() < due:
            pass  # a sleep is longer than the interval
        asked = time.perf_counter()
        client.send(queries[number % len(queries)])
        client.recv(4096)
        taken.append(time.perf_counter() - asked)
        due = max(due + interval_s, asked)
    return statistics.quantiles(taken, n=100)[98] * 1e3


def _queries() -> list[bytes]:
    names = [f"s{number}.default.svc.cluster.local" for number in range(1_000)]
    head = b"\1\0\0\1\0\0\0\0\0\0"
    return [
        number.to_bytes(2, "big") + head + wire.encode_name(name) + b"\0\1\0\1" for number, name in enumerate(names)
    ]


def _cpu_s(pid: int) -> float:
    found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")


async def _serve_dns() -> None:
    clock = SystemClock()
    zone = Zone("cluster.local", "10.96.0.10")
    for number in range(1_000):
        spec = ServiceSpec(cluster_ip=f"10.96.{number >> 8}.{number & 0xFF}", ports=(ServicePort(port=80),))
        service = Service(metadata=ObjectMeta(name=f"s{number}", namespace="default"), spec=spec)
        zone.replace(service.metadata.key, names_of(service, [], "cluster.local"))
    kubernetes = Kubernetes(zone, ipaddress.IPv4Network("10.96.0.0/16"))
    kubernetes.has_synced = True
    upstream = Forward(Resolvers(Path("/nonexistent"), [], clock), dice=Random(1))
    server = Server(Chain([kubernetes], Cache(), upstream, clock), *DNS)

    async def tell() -> None:
        await server.listening.wait()
        print("ready", flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(), name="dns")
        group.create_task(tell(), name="tell")


def missing_tools() -> list[str]:
    """The programs this needs that are not installed."""
    return [tool for tool in ("nginx", "haproxy", "wrk") if shutil.which(tool) is None]


def run(context: Context) -> list[Row]:
    """The rows of figures.md: ratios to the direct way, HAProxy's beside ours, memory, and DNS."""
    lacking = missing_tools()
    if lacking:
        context.say(f"proxy: left out, {', '.join(lacking)} not installed")
        return []
    results, kib = measure(context.rounds, max(1, context.seconds // 3), say=context.say)
    rows: list[Row] = []
    for result in results:
        unit = "MB/s" if result.kind == "bulk" else "/s"
        bar = f"HAProxy in the same run: {result.haproxy:.3f}; we move {result.rate:,.0f} {unit}"
        rows.append(Row("proxy", result.kind, result.ours, "of direct", bar))
    rows.append(Row("proxy", "memory per idle connection", kib["ours"], "KiB", f"HAProxy: {kib['haproxy']:.2f} KiB"))
    rate, late_ms = measure_dns(context.seconds)
    rows.append(Row("dns", "answers per second of one core", rate, "/s", f">= {DNS_BAR_PER_S:,}/s"))
    rows.append(Row("dns", "p99 at half the bar's rate", late_ms, "ms", "<= 2 ms"))
    return rows


def main() -> None:
    """Measure by `run`, or be the DNS server that it starts."""
    if sys.argv[1:] == ["serve-dns"]:
        uvloop.run(_serve_dns())
    else:
        print(rendered(run(Context(seconds=6, rounds=3, say=print))))


if __name__ == "__main__":
    main()
