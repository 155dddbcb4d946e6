"""The HTTPS server: who may ask, and what is answered.

Every caller shows a certificate of the cluster's CA; only the API server's own client and administrators may ask.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from node_agent.kubelet import port_forward, streams
from node_agent.kubelet.logs import BadLogOptions, LogRequest, log_request, pieces
from node_agent.kubelet.summary import summary
from node_agent.network import inside
from node_agent.pods.labels import Seen
from node_agent.pods.shell import PodShell
from node_agent.pods.worker import PodWorkers
from node_agent.runtime.base import (
    Channel,
    ContainerRuntime,
    NoSuchContainer,
    Phase,
    RuntimeRefused,
    RuntimeUnreachable,
    Session,
)
from orchestrator.api import codec
from orchestrator.api.objects import Object
from orchestrator.machinery import metrics
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

_API_SERVER = "kube-apiserver-kubelet-client"
_MASTERS = "system:masters"
_OUTPUTS = (("output", Channel.STDOUT), ("error", Channel.STDERR))
_HEARTBEAT_S = 30.0
_MESSAGE_MAX = 4 << 20


class KubeletServer:
    """The kubelet's API of this node."""

    def __init__(
        self,
        workers: PodWorkers,
        runtime: ContainerRuntime,
        clock: Clock,
        files: BlockingCalls,
        *,
        node_name: str,
        socket_inside: Callable[[int], socket.socket] = inside.socket_inside,
    ) -> None:
        self._workers = workers
        self._runtime = runtime
        self._clock = clock
        self._files = files
        self._node_name = node_name
        self._socket_inside = socket_inside

    def app(self, *, identified: Callable[[web.BaseRequest], bool] | None = None) -> web.Application:
        """The application; `identified` says whether a caller may ask (by default by its certificate)."""
        allowed = identified or _is_api_server

        @web.middleware
        async def guard(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
            if not allowed(request):
                return web.Response(status=403, text="Forbidden")
            try:
                response: web.StreamResponse = await handler(request)
            except NoSuchContainer as gone:
                return web.Response(status=404, text=str(gone))
            except (RuntimeRefused, RuntimeUnreachable) as refused:
                return web.Response(status=500, text=str(refused))
            return response

        app = web.Application(middlewares=[guard])
        add = app.router.add_get
        add("/healthz", self._healthz)
        add("/metrics", self._metrics)
        add("/pods", self._pods)
        add("/stats/summary", self._summary)
        add("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for method in ("GET", "POST"):
            app.router.add_route(method, "/exec/{namespace}/{pod}/{container}", self._exec)
            app.router.add_route(method, "/attach/{namespace}/{pod}/{container}", self._attach)
            app.router.add_route(method, "/portForward/{namespace}/{pod}", self._port_forward)
        return app

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = await metrics.render()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _pods(self, request: web.Request) -> web.Response:
        items = [{**msgspec.to_builtins(shell.pod), "status": shell.status} for shell in self._workers.shells()]
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return web.Response(body=codec.encode(body), content_type="application/json")

    async def _summary(self, request: web.Request) -> web.Response:
        found = await summary(self._workers, self._runtime, node_name=self._node_name, now=self._clock.now())
        return web.Response(body=codec.encode(found), content_type="application/json")

    # --- logs ---

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        shell = self._shell(request)
        name = request.match_info["container"]
        try:
            wanted = log_request(request.query, self._clock)
        except BadLogOptions as bad:
            return web.Response(status=400, text=str(bad))
        chosen = _logged_container(shell, name, wanted)
        if isinstance(chosen, str):
            return web.Response(status=400, text=chosen)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async with aclosing(pieces(self._runtime, chosen.state.id, wanted)) as found:
                async for piece in found:
                    await response.write(piece)
            await response.write_eof()
        except (NoSuchContainer, RuntimeRefused, RuntimeUnreachable) as lost:
            logger.info("logs.lost", pod=shell.pod.metadata.key, why=str(lost)[:256])
        except ConnectionError:
            logger.debug("logs.left", pod=shell.pod.metadata.key)
        return response

    # --- processes ---

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        container_id = self._running(request)
        command = request.query.getall("command", [])
        if not command:
            return web.Response(status=400, text="you must specify a command")
        tty = _flag(request.query, "tty")

        async def begin() -> Session:
            return await self._runtime.execute(container_id, command, stdin=_flag(request.query, "input"), tty=tty)

        return await self._stream(request, begin)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        container_id = self._running(request)

        async def begin() -> Session:
            return await self._runtime.attach(container_id, stdin=_flag(request.query, "input"))

        return await self._stream(request, begin)

    async def _stream(self, request: web.Request, begin: Callable[[], Any]) -> web.StreamResponse:
        client = web.WebSocketResponse(
            protocols=streams.PROTOCOLS, heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_MAX, compress=False
        )
        if not client.can_prepare(request).ok:
            return web.Response(status=400, text="Upgrade request required")
        session = await begin()
        outputs = {channel for name, channel in _OUTPUTS if _flag(request.query, name)}
        await client.prepare(request)
        await streams.carry(client, session, outputs)
        await client.close()
        return client

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        shell = self._shell(request)
        pid = shell.sandbox_pid
        if not pid:
            raise RuntimeRefused(f'pod "{shell.pod.metadata.key}" is not running')
        client = web.WebSocketResponse(
            protocols=(port_forward.PROTOCOL,), heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_MAX, compress=False
        )
        if not client.can_prepare(request).ok:
            return web.Response(status=400, text="Upgrade request required")
        await client.prepare(request)

        async def open_socket() -> socket.socket:
            return await self._files.call(self._socket_inside, pid)

        await port_forward.PortForward(client, open_socket, pod=shell.pod.metadata.key).run()
        await client.close()
        return client

    # --- whom it is about ---

    def _shell(self, request: web.Request) -> PodShell:
        shell = self._workers.find(request.match_info["namespace"], request.match_info["pod"])
        if shell is None:
            name = f"{request.match_info['namespace']}/{request.match_info['pod']}"
            raise NoSuchContainer(f'pod "{name}" not found')
        return shell

    def _running(self, request: web.Request) -> str:
        shell = self._shell(request)
        name = request.match_info["container"]
        _, containers = shell.seen()
        newest = next(iter(containers.get(name, ())), None)
        if newest is None or newest.state.phase is not Phase.RUNNING:
            raise RuntimeRefused(f'container not found ("{name}")')
        return newest.state.id


def _logged_container(shell: PodShell, name: str, request: LogRequest) -> Seen | str:
    """The container whose log is meant, or why there is none, in Kubernetes' words."""
    pod = shell.pod.metadata.name
    if shell.container(name) is None:
        return f"container {name} is not valid for pod {pod}"
    _, containers = shell.seen()
    found = [one for one in containers.get(name, ()) if one.state.phase is not Phase.CREATED]
    if request.previous:
        ended = found[1:2] if found and found[0].state.phase is Phase.RUNNING else found[1:2] or found[:1]
        return ended[0] if ended else f'previous terminated container "{name}" in pod "{pod}" not found'
    if found:
        return found[0]
    statuses = [*shell.status.get("containerStatuses", ()), *shell.status.get("initContainerStatuses", ())]
    waiting: Object = next((one["state"].get("waiting", {}) for one in statuses if one["name"] == name), {})
    reason = waiting.get("reason", "ContainerCreating")
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        return f'container "{name}" in pod "{pod}" is waiting to start: trying and failing to pull image'
    return f'container "{name}" in pod "{pod}" is waiting to start: {reason}'


def _is_api_server(request: web.BaseRequest) -> bool:
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    if not certificate:
        return False
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return ("commonName", _API_SERVER) in subject or ("organizationName", _MASTERS) in subject


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true")


def tls_context(*, certificate: Path, key: Path, ca: bytes) -> ssl.SSLContext:
    """A context that shows the node's certificate and demands one of the cluster's CA from every caller."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=ca.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    return context
