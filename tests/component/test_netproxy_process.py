"""The whole proxy process in a network namespace of its own, with and without an API server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from netproxy import state
from netproxy.state import ClusterState
from orchestrator.machinery.kubeconfig import ClientConfig, render_kubeconfig
from tests.support.network import a_port, a_service, a_slice, an_endpoint

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network namespace"),
]

OUTSIDE, NODE_ADDRESS = "198.51.100.7", "192.0.2.1"
WEB = a_service(
    "web",
    ip="10.96.0.50",
    type="NodePort",
    ports=[a_port(80, node_port=30080)],
    external_ips=(OUTSIDE, NODE_ADDRESS),
)
WEB_SLICE = a_slice("web", [an_endpoint("127.0.0.1")], port=8080)

SERVER = """
import http.server
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hello")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Hello)
print("listening", flush=True)
server.serve_forever()
"""
FOLLOW = """
import asyncio, subprocess
from netproxy.routes import Routes
def seen():
    command = "ip -4 route show table local proto 87".split()
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    return [line.split()[1] for line in shown.splitlines()]
async def main():
    routes = Routes()
    await routes.follow(["10.96.0.0/16", "198.51.100.7"]); print(seen())
    await routes.follow(["10.96.0.0/16"]); print(seen())
    subprocess.run("ip route del local 10.96.0.0/16 dev lo proto 87".split(), check=True)
    await routes.follow(["10.96.0.0/16"], again=True); print(seen())
    await routes.follow([]); print(seen())
asyncio.run(main())
"""
ASK = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
"""
LOOK_UP = """
import sys, dns.message, dns.query
query = dns.message.make_query(sys.argv[1], "A")
reply = (dns.query.tcp if sys.argv[2] == "tcp" else dns.query.udp)(query, "10.96.0.10", timeout=5)
print(",".join(str(item) for answer in reply.answer for item in answer) or reply.rcode().name)
"""


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def proxies_in(space: Namespace) -> list[bytes]:
    """The command lines of the proxy's processes in a namespace."""
    commands: list[bytes] = []
    for pid in ip("netns", "pids", space.name).split():
        with contextlib.suppress(OSError):
            commands.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return [command for command in commands if b"netproxy" in command]


@dataclass
class Namespace:
    """A network namespace with loopback and nothing else."""

    name: str

    async def start(self, *argv: str, **options: Any) -> asyncio.subprocess.Process:
        inside = ("nsenter", f"--net=/run/netns/{self.name}", "--")
        return await asyncio.create_subprocess_exec(*inside, *argv, **options)

    async def run(self, *argv: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            "nsenter", f"--net=/run/netns/{self.name}", "--", *argv,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode().strip()

    async def python(self, code: str, *arguments: str) -> str:
        _, said = await self.run(sys.executable, "-c", code, *arguments)
        return said.splitlines()[-1] if said else ""

    async def routes(self) -> list[str]:
        _, said = await self.run("ip", "-4", "route", "show", "table", "local", "proto", "87")
        return [line.split()[1] for line in said.splitlines()]


@dataclass
class Running:
    """A proxy process in a namespace."""

    space: Namespace
    argv: tuple[str, ...]
    process: asyncio.subprocess.Process

    async def wait_healthy(self) -> None:
        async with asyncio.timeout(20):
            while await self.space.python(ASK, "http://127.0.0.1:10256/healthz") != "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def restart(self) -> None:
        self.process = await self.space.start(*self.argv)


@contextlib.asynccontextmanager
async def a_namespace() -> AsyncIterator[Namespace]:
    space = Namespace(f"wherry-test-{os.getpid()}")
    ip("netns", "add", space.name)
    try:
        ip("-n", space.name, "link", "set", "lo", "up")
        ip("-n", space.name, "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo")
        server = await space.start(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
        try:
            assert server.stdout is not None
            async with asyncio.timeout(20):
                assert await server.stdout.readline() == b"listening\n"
            yield space
        finally:
            server.kill()
            await server.wait()
    finally:
        for pid in ip("netns", "pids", space.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        ip("netns", "delete", space.name)


@contextlib.asynccontextmanager
async def a_proxy(space: Namespace, directory: Path, server: str) -> AsyncIterator[Running]:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(render_kubeconfig(ClientConfig(server=server, token="t")))
    resolvers = directory / "resolv.conf"
    resolvers.write_text("nameserver 10.96.0.10\n")
    argv = (
        sys.executable, "-m", "netproxy", "--kubeconfig", str(kubeconfig), "--node-name", "n1",
        "--node-ip", "192.0.2.1", "--state-dir", str(directory), "--resolv-conf", str(resolvers),
        "--workers", "1", "--metrics-port", "10249",
    )  # fmt: skip
    running = Running(space, argv, await space.start(*argv))
    try:
        yield running
    finally:
        if running.process.returncode is None:
            running.process.terminate()
            async with asyncio.timeout(15):
                await running.process.wait()


@pytest.fixture
async def space():
    async with a_namespace() as namespace:
        yield namespace


@pytest.fixture
async def proxy(space, tmp_path):
    """A proxy whose API server does not answer, and which knows one service from before."""
    state.save(tmp_path, ClusterState(services=(WEB,), slices=(WEB_SLICE,)))
    async with a_proxy(space, tmp_path, "http://127.0.0.1:9") as running:
        await running.wait_healthy()
        yield running


async def test_traffic_and_names_go_on_without_an_api_server(space, proxy):
    assert await space.python(ASK, "http://10.96.0.50/") == "hello"
    for address in ("127.0.0.1:30080", f"{NODE_ADDRESS}:30080", f"{NODE_ADDRESS}:80", f"{OUTSIDE}:80"):
        assert await space.python(ASK, f"http://{address}/") == "hello"
    assert await space.python(LOOK_UP, "web.default.svc.cluster.local", "udp") == "10.96.0.50"
    assert await space.python(LOOK_UP, "web.default.svc.cluster.local", "tcp") == "10.96.0.50"
    assert await space.python(LOOK_UP, "none.default.svc.cluster.local", "udp") == "NXDOMAIN"
    assert await space.python(LOOK_UP, "example.com", "udp") == "SERVFAIL"
    scraped = (await space.run(sys.executable, "-c", ASK, "http://127.0.0.1:10249/metrics"))[1]
    assert 'wherry_dns_answers_total{rcode="NXDOMAIN"} 1.0' in scraped
    assert "wherry_netproxy_sync_duration_seconds_count" in scraped


async def test_a_killed_proxy_leaves_no_gap_for_new_connections_and_comes_back_by_itself(space, proxy):
    await proxy.kill()
    assert await space.python(ASK, "http://10.96.0.50/") == "hello"  # its workers serve on for a moment
    await proxy.restart()
    await proxy.wait_healthy()
    assert await space.python(ASK, "http://10.96.0.50/") == "hello"
    assert await space.python(LOOK_UP, "web.default.svc.cluster.local", "udp") == "10.96.0.50"


async def test_told_to_end_it_takes_its_routes_and_processes_with_it(space, proxy):
    assert await space.routes() == ["10.96.0.0/16", OUTSIDE]  # the node's own address needs none
    proxy.process.terminate()
    await proxy.process.wait()
    assert await space.routes() == []
    assert NODE_ADDRESS in ip("-n", space.name, "route", "show", "table", "local")
    assert proxies_in(space) == []


async def test_cleanup_removes_what_a_killed_proxy_left(space, proxy):
    await proxy.kill()
    assert await space.routes() == ["10.96.0.0/16", OUTSIDE]
    assert await space.run(sys.executable, "-m", "netproxy", "--cleanup") == (0, "")
    assert await space.routes() == []


async def test_orphaned_workers_end(space, proxy):
    assert len(proxies_in(space)) == 2  # it, and its worker
    await proxy.kill()
    async with asyncio.timeout(20):
        while proxies_in(space):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_routes_follow_what_is_wanted_and_are_repaired(space):
    code, said = await space.run(sys.executable, "-c", FOLLOW)
    assert code == 0, said
    one = "['10.96.0.0/16']"
    assert said.splitlines() == ["['10.96.0.0/16', '198.51.100.7']", one, one, "[]"]
