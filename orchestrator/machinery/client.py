"""The async client of the Kubernetes API: verbs on resources, HTTP errors as the errors of `errors.py`."""

from __future__ import annotations

import asyncio
import copy
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import aiohttp
import msgspec

from orchestrator.api import codec
from orchestrator.api.resources import Resource
from orchestrator.api.views.meta import ListMeta
from orchestrator.machinery.errors import NotLeading, Unreachable, error_of_status
from orchestrator.machinery.handshakes import why_refused
from orchestrator.machinery.kubeconfig import ClientConfig
from orchestrator.machinery.sockets import OwnSocket, socket_that_notices_a_dead_peer
from orchestrator.machinery.watch_stream import WatchEvent, WatchStream

T = TypeVar("T")

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

# The API server answers single objects within a second; lists of everything may take half a minute.
_REQUEST_TIMEOUT_S = 40.0
# The server ends a watch after this long; a new one goes on where it ended, so nobody's watch lives for ever.
_WATCH_SECONDS = 540
_GOODBYE_S = 1.0
_LOOK_EVERY_S = 0.005
# Watches and requests of one component: far above what any needs, there only as a bound.
_CONNECTIONS_MAX = 256
# What tells that a connection was lost. aiohttp's word for one that was gone before reading began is a RuntimeError.
_LOST = (aiohttp.ClientError, OSError, TimeoutError, RuntimeError)

Body = Mapping[str, Any] | msgspec.Struct | bytes | Sequence[Any]


class _ListFrame(msgspec.Struct, Generic[T], frozen=True):
    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list's items and the revision it shows; `continue_token` is empty at the end."""

    items: tuple[T, ...]
    revision: int
    continue_token: str = ""


class Client:
    """Use as `async with Client(config) as client`. Safe for concurrent use.

    Every method raises the `ApiError` that the server answered with, or `Unreachable` when there was no answer: after
    that nothing is known of a write. `into` says what to decode the answer as: a view, `dict`, or `bytes` for as it is.
    """

    def __init__(self, config: ClientConfig, *, user_agent: str = "wherry") -> None:
        self._config = config
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        if config.token:
            self._headers["Authorization"] = f"Bearer {config.token}"
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._may_write: Callable[[], bool] | None = None
        self._sockets: WeakSet[OwnSocket] = WeakSet()

    async def __aenter__(self) -> Client:
        self._tls = self._config.ssl_context() if self._config.server.startswith("https") else None
        connector = aiohttp.TCPConnector(
            ssl=self._tls or False,
            limit=_CONNECTIONS_MAX,
            keepalive_timeout=60.0,
            socket_factory=self._new_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, auto_decompress=True, read_bufsize=1 << 20
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
            await self._wait_closed()

    def _new_socket(self, address: Any) -> OwnSocket:
        sock = socket_that_notices_a_dead_peer(address)
        self._sockets.add(sock)
        return sock

    async def _wait_closed(self) -> None:
        """Wait until no connection is left: one that the server ends as well takes a moment to be gone.

        Whoever closes the loop meanwhile would leave it half closed; nobody but its socket tells when it is.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while any(sock.fileno() >= 0 for sock in self._sockets):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(_LOOK_EVERY_S)

    def fenced(self, may_write: Callable[[], bool]) -> Client:
        """The same client, on the same connections, that raises `NotLeading` for a write when `may_write` says no.

        For whoever leads: a process that was stopped for a while goes on in the middle of what it was doing, and by
        then another one may lead.
        """
        fenced = copy.copy(self)
        fenced._may_write = may_write
        return fenced

    def renew(self, config: ClientConfig) -> bool:
        """Show these credentials from here on, and say whether they are others; the server and its CA stay."""
        renewed = replace(self._config, certificate=config.certificate, key=config.key, token=config.token)
        if renewed == self._config:
            return False
        if self._tls is not None:
            config.show_certificate(self._tls)
        if config.token:
            self._open.headers["Authorization"] = f"Bearer {config.token}"
        self._config = renewed
        return True

    async def get(self, resource: Resource, name: str, namespace: str = "", *, into: type[T]) -> T:
        """Read one object."""
        return _decode(await self.request("GET", resource.path(namespace, name)), into)

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        into: type[T],
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Listing[T]:
        """Read a collection at its newest revision; with `limit`, a page of it."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit) if limit else "",
            **{"continue": continue_token},
        )
        body = await self.request("GET", resource.path(namespace), query=query)
        frame: _ListFrame[T] = codec.decode_into(body, _list_of(into))
        return Listing(frame.items, int(frame.metadata.resource_version or 0), frame.metadata.continue_token)

    async def create(
        self,
        resource: Resource,
        body: Body,
        namespace: str = "",
        *,
        into: type[T],
        name: str = "",
        subresource: str = "",
    ) -> T:
        """Create an object, or post to a subresource of `name`."""
        path = resource.path(namespace, name, subresource)
        return _decode(await self.request("POST", path, body=_encode(body)), into)

    async def update(
        self, resource: Resource, name: str, body: Body, namespace: str = "", *, into: type[T], subresource: str = ""
    ) -> T:
        """Replace an object or a subresource; raises `Conflict` if the body's resourceVersion is not the newest."""
        path = resource.path(namespace, name, subresource)
        return _decode(await self.request("PUT", path, body=_encode(body)), into)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Body,
        namespace: str = "",
        *,
        into: type[T],
        subresource: str = "",
        patch_type: str = MERGE_PATCH,
    ) -> T:
        """Patch an object or a subresource."""
        path = resource.path(namespace, name, subresource)
        return _decode(await self.request("PATCH", path, body=_encode(body), content_type=patch_type), into)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_s: int | None = None,
        propagation: str = "",
    ) -> bytes:
        """Delete an object; with `uid` or `resource_version` only if it is still that one (else `Conflict`)."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if propagation:
            options["propagationPolicy"] = propagation
        preconditions = _query(uid=uid, resourceVersion=resource_version)
        if preconditions:
            options["preconditions"] = preconditions
        return await self.request("DELETE", resource.path(namespace, name), body=codec.encode(options))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """The changes after `revision`, until the server ends the watch; go on from the last event's revision.

        Raises `Gone` when `revision` is no longer kept: list again.
        """
        query = _query(
            watch="true",
            resourceVersion=str(revision),
            allowWatchBookmarks="true",
            timeoutSeconds=str(_WATCH_SECONDS),
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        stream = WatchStream()
        # A live server says something (a bookmark) every minute or so: silence for longer means the link is dead.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=150.0)
        try:
            async with self._open.get(
                self._config.server + resource.path(namespace), params=query, timeout=timeout
            ) as response:
                if response.status != 200:
                    raise error_of_status(response.status, _status_of(await response.read()))
                async for data in response.content.iter_any():
                    for event in stream.feed(data):
                        yield event
        except _LOST as lost:
            raise Unreachable(f"lost the watch of {resource.plural}: {_why(lost)}") from lost

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout_s: float = _REQUEST_TIMEOUT_S,
    ) -> bytes:
        """Send one request and return the body of its success."""
        if self._may_write is not None and method != "GET" and not self._may_write():
            raise NotLeading(f"{method} {path} is not sent: this process does not lead any more")
        headers = {"Content-Type": content_type} if body is not None else None
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=10.0)
        try:
            async with self._open.request(
                method, self._config.server + path, params=query, data=body, headers=headers, timeout=timeout
            ) as response:
                data = await response.read()
        except _LOST as lost:
            raise Unreachable(f"no answer to {method} {path}: {_why(lost)}") from lost
        if response.status >= 300:
            raise error_of_status(response.status, _status_of(data))
        return data

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with Client(...)`"
        return self._session


def _list_of(into: type[T]) -> type[_ListFrame[T]]:
    return _ListFrame[into]  # type: ignore[valid-type]


def _decode(body: bytes, into: type[T]) -> T:
    if into is bytes:
        return body  # type: ignore[return-value]
    return codec.decode_into(body, into)


def _encode(body: Body) -> bytes:
    return body if isinstance(body, bytes) else codec.encode(body)


def _query(**named: str) -> dict[str, str]:
    return {name: value for name, value in named.items() if value}


def _status_of(body: bytes) -> dict[str, Any]:
    try:
        status = codec.decode_into(body, dict)
    except ValueError:
        return {"message": body[:256].decode(errors="replace")} if body else {}
    return status if status.get("kind") == "Status" else {}


def _why(lost: Exception) -> str:
    """What went wrong on the way; of a handshake, in words that name the clock where that may be it."""
    inner = getattr(lost, "certificate_error", None) or getattr(lost, "os_error", None)
    return f"{lost!r}: {why_refused(inner)}" if isinstance(inner, ssl.SSLError) else repr(lost)
