"""A node agent as the API server sees it: the kubelet's HTTPS API, answering from what a test told it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSMsgType, web

from orchestrator import pki
from orchestrator.config import Config
from orchestrator.machinery.certificates import Authority, Issued, Subject
from orchestrator.machinery.clock import SystemClock
from orchestrator.pki import Pki


@dataclass
class FakeAgent:
    """What it was asked, and what it answers."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    log: bytes = b"one\ntwo\n"
    refusal: tuple[int, str] | None = None
    more_log: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    closed_with: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        self.clients.append(dict(pair[0] for pair in certificate["subject"])["commonName"] if certificate else "")
        if self.refusal is not None:
            return web.Response(status=self.refusal[0], text=self.refusal[1])
        if request.path.startswith("/containerLogs/"):
            return await self._log(request)
        if request.path.startswith(("/exec/", "/attach/", "/portForward/")):
            return await self._echo(request)
        return web.json_response({"path": request.path_qs, "method": request.method, "body": await request.text()})

    async def _log(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(self.log)
        if request.query.get("follow") == "true":
            while (line := await self.more_log.get()) is not None:
                await response.write(line)
        return response

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            protocols=("v5.channel.k8s.io", "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io")
        )
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                if message.data == b"\x00exit":
                    await socket.send_bytes(b'\x03{"status":"Success"}')
                    break
                await socket.send_bytes(b"\x01" + message.data[1:])
        await socket.close()
        self.closed_with.put_nowait(socket.close_code or 0)
        return socket


@asynccontextmanager
async def a_fake_agent(keys: Pki, tmp_path: Path, *, address: str = "127.0.0.1") -> AsyncIterator[FakeAgent]:
    """It listens on a free port of 127.0.0.1, with a certificate of the cluster's CA for `address`."""
    authority = Authority(Issued(keys.ca_cert.read_bytes(), keys.ca_key.read_bytes()))
    subject = Subject(common_name="system:node:n1", organizations=("system:nodes",), ip_addresses=(address,))
    pair = authority.issue(subject, now=SystemClock().now(), server=True)
    (tmp_path / "agent.pem").write_bytes(pair.cert_pem + pair.key_pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "agent.pem")
    tls.load_verify_locations(keys.ca_cert)
    tls.verify_mode = ssl.CERT_REQUIRED
    agent = FakeAgent()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", agent.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        agent.port = runner.addresses[0][1]
        yield agent
    finally:
        await runner.cleanup()


def some_keys(tmp_path: Path) -> Pki:
    """The keys of a cluster of a test's own."""
    return pki.ensure(Config(state_dir=tmp_path / "state", advertise_address="127.0.0.1"), now=SystemClock().now())
