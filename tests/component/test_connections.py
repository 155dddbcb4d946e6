"""Connections: strangers are bounded, nobody takes for ever, and what is no HTTP is a line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.api.resources import PODS
from orchestrator.machinery.certificates import Authority, Subject, new_authority
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import NotFound, Unreachable
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.server.app import ServerSettings
from orchestrator.server.connections import ConnectionLimits, listening
from tests.support.server import RunningServer, a_running_server

_DAY_S = 86_400.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def _limited(**limits: float) -> AsyncIterator[RunningServer]:
    settings = ServerSettings(connections=ConnectionLimits(**limits))  # type: ignore[arg-type]
    async with a_running_server(settings=settings) as server:
        yield server


@contextlib.asynccontextmanager
async def _connected(server: RunningServer, count: int = 1) -> AsyncIterator[list[Streams]]:
    """Connections to write to by hand, which the server has taken: made one after another."""
    host, port = server.url.removeprefix("http://").split(":")
    streams: list[Streams] = []
    try:
        for _ in range(count):
            streams.append(await asyncio.open_connection(host, int(port)))
        yield streams
    finally:
        for _, writer in streams:
            writer.close()
        for _, writer in streams:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _ended(reader: asyncio.StreamReader) -> bytes:
    """What came until the server ended the connection."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_anonymous_connections_are_bounded_and_stop_nobody_else() -> None:
    async with _limited(strangers=5) as server, _connected(server, 20) as streams:
        for reader, _ in streams[:15]:  # the oldest go
            assert await _ended(reader) == b""
        async with server.client() as client:
            with pytest.raises(NotFound):
                await client.get(PODS, "x", "default", into=bytes)
        reader, writer = streams[-1]  # it had its time, and uses it
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_a_connection_of_somebody_known_is_no_stranger() -> None:
    async with _limited(strangers=3) as server, server.client() as client:
        with pytest.raises(NotFound):
            await client.get(PODS, "x", "default", into=bytes)
        async with _connected(server, 10):
            with pytest.raises(NotFound):
                await client.get(PODS, "x", "default", into=bytes)


async def test_one_identity_does_not_take_all_connections() -> None:
    async with _limited(of_identity=2) as server, _connected(server, 3) as streams:
        heads = []
        for reader, writer in streams:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nobody\r\n\r\n")
            heads.append((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
        assert heads == [b"200", b"200", b"429"]
        async with server.client("scheduler") as other:
            with pytest.raises(NotFound):
                await other.get(PODS, "x", "default", into=bytes)
        async with _connected(server, 3) as streams:  # masters are let in however many they are
            for reader, writer in streams:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:", id="half-a-head"),
        pytest.param(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", id="a-first-request-and-half-a-head"),
    ],
)
async def test_a_connection_with_slow_headers_is_cut(sent: bytes) -> None:
    async with _limited(head_s=0.2) as server, _connected(server) as streams:
        reader, writer = streams[0]
        writer.write(sent)
        if sent.endswith(b"\r\n\r\n"):
            await reader.readuntil(b"ok")
            writer.write(b"G")
        await _ended(reader)


async def test_a_connection_that_is_idle_is_cut() -> None:
    async with _limited(idle_s=0.2) as server, _connected(server) as streams:
        reader, writer = streams[0]
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await _ended(reader)).endswith(b"ok")


async def test_headers_beyond_all_measure_are_refused() -> None:
    async with _limited(head_bytes=100_000) as server, _connected(server) as streams:
        reader, writer = streams[0]
        writer.write(b"GET /readyz HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 5000) for n in range(22)))
        assert (await _ended(reader)).startswith(b"HTTP/1.1 431 ")


async def test_a_header_and_a_url_of_a_hundred_kilobytes_are_taken(api_server: RunningServer) -> None:
    async with _connected(api_server) as streams:
        reader, writer = streams[0]
        long = b"a" * 100_000
        writer.write(b"GET /readyz?x=%b HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\n\r\n" % (long, long))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_a_malformed_request_is_one_line_and_repeated_ones_are_counted(
    api_server: RunningServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        async with _connected(api_server) as streams:
            reader, writer = streams[0]
            writer.write(b"what is this\r\n\r\n")
            answer = await _ended(reader)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request")
            assert answer.endswith(b"\r\n\r\n400 Bad Request")  # no library's text
    out, err = capfd.readouterr()
    assert (out + err).count("request.malformed") == 1
    assert "Traceback" not in out + err


async def test_a_body_framed_wrongly_is_a_bad_request(api_server: RunningServer) -> None:
    async with _connected(api_server) as streams:
        reader, writer = streams[0]
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nTransfer-Encoding: chunked\r\n"
        writer.write(head.encode() + b"Expect: 100-continue\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"no length\r\n")
        assert b" 400 " in await reader.readline()


class _Tls:
    """A cluster's authority, a server's side, and clients of several ages."""

    def __init__(self, folder: Path, *, server_issued_in_s: float = 0.0) -> None:
        self.now = SystemClock().now()
        self.authority = Authority(new_authority("wherry", now=self.now - 10 * _DAY_S))
        self._folder = folder
        ca = folder / "ca.pem"
        ca.write_bytes(self.authority.cert_pem)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(*self._issued("server", self.now + server_issued_in_s, client=False))
        self.server.load_verify_locations(ca)
        self.server.verify_mode = ssl.CERT_OPTIONAL

    def _issued(self, name: str, at: float, *, client: bool) -> tuple[Path, Path]:
        pair = self.authority.issue(
            Subject(common_name=name, ip_addresses=("127.0.0.1",)), now=at, client=client, server=not client
        )
        cert, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert.write_bytes(pair.cert_pem)
        key.write_bytes(pair.key_pem)
        return cert, key

    def client(self, port: int, *, issued_at: float) -> Client:
        cert, key = self._issued("client", issued_at, client=True)
        return Client(
            ClientConfig(
                server=f"https://127.0.0.1:{port}",
                ca=self.authority.cert_pem,
                certificate=cert.read_bytes(),
                key=key.read_bytes(),
            )
        )


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="{}")


async def test_a_tls_handshake_that_does_not_come_is_cut(tmp_path: Path) -> None:
    limits = ConnectionLimits(handshake_s=0.2)
    async with listening(
        _answer, host="127.0.0.1", port=0, tls=_Tls(tmp_path).server, limits=limits, clock=SystemClock()
    ) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await _ended(reader) == b""
        writer.close()


async def test_when_a_clock_is_set_back_the_client_says_so(tmp_path: Path) -> None:
    # A certificate from the future is what one from today is to a clock that was set back.
    tls = _Tls(tmp_path, server_issued_in_s=5 * _DAY_S)
    async with (
        listening(
            _answer, host="127.0.0.1", port=0, tls=tls.server, limits=ConnectionLimits(), clock=SystemClock()
        ) as port,
        tls.client(port, issued_at=tls.now) as client,
    ):
        with pytest.raises(Unreachable, match="not yet valid, by this machine's clock: is it right"):
            await client.request("GET", "/")


async def test_when_a_clock_is_set_back_the_server_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tls = _Tls(tmp_path)
    async with listening(
        _answer, host="127.0.0.1", port=0, tls=tls.server, limits=ConnectionLimits(), clock=SystemClock()
    ) as port:
        async with tls.client(port, issued_at=tls.now) as client:
            assert await client.request("GET", "/") == b"{}"
        async with tls.client(port, issued_at=tls.now + 5 * _DAY_S) as client:
            with pytest.raises(Unreachable):
                await client.request("GET", "/")
    out, err = capfd.readouterr()
    assert "tls.refused" in out + err
    assert "not yet valid, by this machine's clock: is it right?" in out + err
