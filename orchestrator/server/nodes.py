"""What the API server hands on to a node's agent: logs, exec, attach, port-forward, and the node proxy.

The agent speaks the kubelet's API on its HTTPS port. Its certificate is verified; ours is the kubelet client's.
WebSocket frames are passed on as they are, in both directions: the subprotocol is between client and agent alone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType

import aiohttp
from aiohttp import web
from yarl import URL

from orchestrator.api.codec import decode_into
from orchestrator.api.resources import NODES, PODS
from orchestrator.machinery.errors import ApiError, BadRequest, InternalError, NotFound, error_of_status
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.sockets import socket_that_notices_a_dead_peer, words_of
from orchestrator.server.admission.base import Objects
from orchestrator.server.requests import Request
from orchestrator.server.streams import options
from orchestrator.server.streams.targets import Kubelet, NodeView, PodView, chosen_container, kubelet_of

logger = get_logger(__name__)

# Streams of users, each its own connection: as many at once as one API server should carry.
_CONNECTIONS_MAX = 1024
# Clients send 32 KiB at a time; far more in one frame is a mistake or an attack.
_FRAME_MAX = 4 << 20
_ERROR_TEXT_MAX = 2_000  # what upstream reads of a kubelet's refusal
_DIAL_TIMEOUT_S = 10.0
_HEARTBEAT_S = 30.0
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "authorization",  # the client's token is for us, not for the node
        "content-length",
    )
)

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class NodeConnections:
    """Use as `async with`. `tls` trusts the cluster's CA and presents the kubelet client certificate."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> NodeConnections:
        connector = aiohttp.TCPConnector(
            ssl=self._tls, limit=_CONNECTIONS_MAX, socket_factory=socket_that_notices_a_dead_peer
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_DIAL_TIMEOUT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def forward(self, request: web.BaseRequest, parsed: Request, objects: Objects) -> web.StreamResponse:
        """Answer a request for one of the subresources above; raises `ApiError` as long as nothing was sent."""
        if parsed.subresource == "proxy":
            return await self._proxy_to_node(request, parsed, objects)
        pod = _pod(objects, parsed)
        match parsed.subresource:
            case "log":
                return await self._log(request, pod, objects)
            case "exec" | "attach":
                container = chosen_container(pod, request.query.get("container", ""))
                kubelet = _kubelet_of_pod(objects, pod)
                path = f"/{parsed.subresource}/{pod.metadata.namespace}/{pod.metadata.name}/{container}"
                return await self._stream(request, kubelet, path, options.for_streams(request.query))
            case "portforward":
                kubelet = _kubelet_of_pod(objects, pod)
                path = f"/portForward/{pod.metadata.namespace}/{pod.metadata.name}"
                return await self._stream(request, kubelet, path, options.for_ports(request.query))
        raise NotFound("the server could not find the requested resource")

    async def _log(self, request: web.BaseRequest, pod: PodView, objects: Objects) -> web.StreamResponse:
        query = options.for_logs(request.query)
        container = chosen_container(pod, request.query.get("container", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        if not pod.spec.node_name:
            # Nothing can have been written yet: an empty log, as upstream answers.
            await response.prepare(request)
            return response
        kubelet = _kubelet_of_pod(objects, pod)
        path = f"/containerLogs/{pod.metadata.namespace}/{pod.metadata.name}/{container}"
        url = kubelet.url(path, query)
        try:
            async with self._open.get(url) as upstream:
                if upstream.status != 200:
                    raise await _refusal(upstream)
                await _copy(request, upstream, response)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if response.prepared:
                return _cut(request, response, exc)
            raise InternalError(f'Get "{url}": dial tcp {kubelet.host}:{kubelet.port}: connect: {_said(exc)}') from exc
        return response

    async def _stream(
        self, request: web.BaseRequest, kubelet: Kubelet, path: str, query: Sequence[tuple[str, str]]
    ) -> web.StreamResponse:
        offered = _offered_protocols(request)
        client = web.WebSocketResponse(protocols=offered, max_msg_size=_FRAME_MAX, compress=False)
        if not client.can_prepare(request).ok:
            raise BadRequest("Upgrade request required")
        try:
            agent = await self._open.ws_connect(
                kubelet.url(path, query),
                protocols=offered,
                max_msg_size=_FRAME_MAX,
                heartbeat=_HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=_DIAL_TIMEOUT_S),
            )
        except aiohttp.WSServerHandshakeError as exc:
            raise await self._why_refused(kubelet, path, query, exc) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise InternalError(f"error dialing backend: {_said(exc)}") from exc
        # The client hears which protocol was agreed on only after the agent has agreed to it.
        chosen = (agent.protocol,) if agent.protocol else ()
        client = web.WebSocketResponse(protocols=chosen, max_msg_size=_FRAME_MAX, compress=False)
        try:
            await client.prepare(request)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(client, agent), name="client-to-node")
                group.create_task(_pump(agent, client), name="node-to-client")
        finally:
            await agent.close()
        return client

    async def _why_refused(
        self, kubelet: Kubelet, path: str, query: Sequence[tuple[str, str]], exc: aiohttp.WSServerHandshakeError
    ) -> ApiError:
        """The agent's own words: a failed handshake's body is not read, so it is asked once more without upgrading."""
        try:
            async with self._open.get(kubelet.url(path, query)) as upstream:
                if upstream.status == exc.status:
                    return await _refusal(upstream)
        except (aiohttp.ClientError, TimeoutError, OSError):
            logger.debug("nodes.unexplained", url=str(kubelet.url(path)))
        return error_of_status(exc.status, {"message": f"unable to upgrade connection: {exc.message}"})

    async def _proxy_to_node(self, request: web.BaseRequest, parsed: Request, objects: Objects) -> web.StreamResponse:
        kubelet = _kubelet(objects, parsed.name)
        url = URL(str(kubelet.url("/" + parsed.rest)) + _raw_query(request), encoded=True)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        body = request.content if request.body_exists else None
        response = web.StreamResponse()
        try:
            async with self._open.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as upstream:
                response.set_status(upstream.status, upstream.reason)
                for name, value in upstream.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        response.headers.add(name, value)
                await _copy(request, upstream, response)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if response.prepared:
                return _cut(request, response, exc)
            raise InternalError(f"error trying to reach service: {_said(exc)}") from exc
        return response

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with NodeConnections(...)`"
        return self._session


def _pod(objects: Objects, parsed: Request) -> PodView:
    stored = objects.get(PODS, parsed.namespace, parsed.name)
    if stored is None:
        raise NotFound(f'pods "{parsed.name}" not found', details={"name": parsed.name, "kind": "pods"})
    return decode_into(stored, PodView)


def _kubelet_of_pod(objects: Objects, pod: PodView) -> Kubelet:
    if not pod.spec.node_name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    return _kubelet(objects, pod.spec.node_name)


def _kubelet(objects: Objects, name: str) -> Kubelet:
    stored = objects.get(NODES, "", name)
    if stored is None:
        raise NotFound(f'nodes "{name}" not found', details={"name": name, "kind": "nodes"})
    return kubelet_of(decode_into(stored, NodeView))


async def _copy(request: web.BaseRequest, upstream: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    await response.prepare(request)
    async for chunk in upstream.content.iter_any():
        await response.write(chunk)
    await response.write_eof()


async def _pump(source: Socket, sink: Socket) -> None:
    """Pass frames on until the source ends, then end the sink. A slow sink stops the reading: nothing piles up."""
    try:
        async for message in source:
            if message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
    except ConnectionError:
        logger.debug("nodes.stream_cut")
    await sink.close(code=source.close_code or aiohttp.WSCloseCode.OK)


def _cut(request: web.BaseRequest, response: web.StreamResponse, exc: BaseException) -> web.StreamResponse:
    """End an answer that is under way so that the client sees it is not whole."""
    logger.info("nodes.answer_cut", path=request.path, why=_said(exc))
    if request.transport is not None:
        request.transport.abort()
    return response


async def _refusal(upstream: aiohttp.ClientResponse) -> ApiError:
    text = (await upstream.content.read(_ERROR_TEXT_MAX)).decode(errors="replace").strip()
    if upstream.status == 400:
        return BadRequest(text)
    if upstream.status == 500:
        return InternalError(f"Internal error occurred: {text}")
    return error_of_status(upstream.status, {"message": text})


def _offered_protocols(request: web.BaseRequest) -> tuple[str, ...]:
    header = request.headers.get("Sec-WebSocket-Protocol", "")
    return tuple(protocol.strip() for protocol in header.split(",") if protocol.strip())


def _raw_query(request: web.BaseRequest) -> str:
    raw = request.rel_url.raw_query_string
    return f"?{raw}" if raw else ""


# OpenSSL's numbers (x509_vfy.h) for what is most often wrong with a certificate, in Go's words.
_DISTRUST = {
    9: "certificate has expired or is not yet valid",
    10: "certificate has expired or is not yet valid",
    18: "certificate signed by unknown authority",
    19: "certificate signed by unknown authority",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
    62: "certificate is not valid for this name",
    64: "certificate is not valid for this address",
}


def _distrust(error: Exception) -> str:
    number = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    return _DISTRUST.get(number, "certificate is not valid")


def _said(exc: BaseException) -> str:
    """What went wrong on the way to a node, in the words of the system and of TLS rather than of our libraries."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_distrust(exc.certificate_error)}"
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        return words_of(cause)
    return "tls: handshake failure" if isinstance(cause, ssl.SSLError) else "EOF"
