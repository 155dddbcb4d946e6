"""Asking once: an HTTP request, a TCP connection, a command. Used by probes and by lifecycle hooks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from node_agent.runtime.base import ContainerRuntime, NoSuchContainer, RuntimeRefused
from orchestrator.api.numbers import BadNumber, parse_int64
from orchestrator.api.views.pods import Container, HttpGetAction, LifecycleHandler, Probe, TcpSocketAction
from orchestrator.machinery.sockets import own_socket

_USER_AGENT = "kube-probe/1.36"
_OUTPUT_MAX = 10 * 1024
_PROBES_AT_ONCE_MAX = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """Well or not, and what was said."""

    well: bool
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask."""

    container: Container
    container_id: str
    address: str


class BadPort(ValueError):
    """A probe or hook names a port that the container does not have."""


class Asker:
    """Asks containers. Use as `async with Asker(runtime) as asker`."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Asker:
        insecure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        insecure.check_hostname = False
        insecure.verify_mode = ssl.CERT_NONE  # a probe asks whether it answers, not who it is
        connector = aiohttp.TCPConnector(
            ssl=insecure, force_close=True, limit=_PROBES_AT_ONCE_MAX, socket_factory=own_socket
        )
        self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": _USER_AGENT})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, probe: Probe, target: Target) -> Answer:
        """One answer, within the probe's timeout."""
        return await self._action(
            probe.exec.command if probe.exec is not None else None,
            probe.http_get,
            probe.tcp_socket,
            target,
            float(max(probe.timeout_seconds, 1)),
        )

    async def hook(self, handler: LifecycleHandler, target: Target, timeout_s: float) -> Answer:
        """Run a lifecycle hook."""
        if handler.sleep is not None:
            await asyncio.sleep(min(float(handler.sleep.seconds), timeout_s))
            return Answer(True)
        command = handler.exec.command if handler.exec is not None else None
        return await self._action(command, handler.http_get, handler.tcp_socket, target, timeout_s)

    async def _action(
        self,
        command: Sequence[str] | None,
        http: HttpGetAction | None,
        tcp: TcpSocketAction | None,
        target: Target,
        timeout_s: float,
    ) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                if command is not None:
                    return await self._run(target.container_id, command)
                if http is not None:
                    return await self._get(http, target)
                if tcp is not None:
                    return await _connect(tcp, target)
        except TimeoutError:
            what = f'command "{" ".join(command)}" timed out' if command is not None else "timeout"
            return Answer(False, what)
        except BadPort as bad:
            return Answer(False, str(bad))
        return Answer(False, "unsupported probe: neither exec, httpGet nor tcpSocket")

    async def _run(self, container_id: str, command: Sequence[str]) -> Answer:
        try:
            session = await self._runtime.execute(container_id, command)
        except (RuntimeRefused, NoSuchContainer) as refused:
            return Answer(False, str(refused))
        output = b""
        try:
            while (piece := await session.read()) is not None:
                output += piece[1][: _OUTPUT_MAX - len(output)]
            code = await session.wait_exit_code()
        finally:
            await session.close()
        return Answer(code == 0, output.decode(errors="replace"))

    async def _get(self, action: HttpGetAction, target: Target) -> Answer:
        assert self._session is not None
        port = port_number(action.port, target.container)
        path = action.path if action.path.startswith("/") else f"/{action.path}"
        host = action.host or target.address
        url = f"{action.scheme.lower() or 'http'}://{host}:{port}{path}"
        headers = {header.name: header.value for header in action.http_headers}
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                body = await response.content.read(_OUTPUT_MAX)
        except (aiohttp.ClientError, OSError) as lost:
            return Answer(False, f'Get "{url}": {_reason(lost)}')
        if 200 <= response.status < 400:
            return Answer(True, body.decode(errors="replace"))
        return Answer(False, f"HTTP probe failed with statuscode: {response.status}")


async def _connect(action: TcpSocketAction, target: Target) -> Answer:
    port = port_number(action.port, target.container)
    host = action.host or target.address
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as lost:
        return Answer(False, f"dial tcp {host}:{port}: {_reason(lost)}")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return Answer(True)


def port_number(port: int | str, container: Container) -> int:
    """The number of a port given by number or by the name of one of the container's ports."""
    if isinstance(port, int):
        return port
    with suppress(BadNumber):
        return parse_int64(port)
    for one in container.ports:
        if one.name == port:
            return one.container_port
    raise BadPort(f"couldn't find port: {port} in container {container.name}")


def _reason(lost: Exception) -> str:
    inner = lost.os_error if isinstance(lost, aiohttp.ClientConnectorError) else lost
    if isinstance(inner, ConnectionRefusedError):
        return "connect: connection refused"
    return str(inner) or repr(inner)
