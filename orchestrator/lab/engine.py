"""The few calls to a Docker Engine that the lab itself makes, over its Unix socket.

The node agent owns containers and has the SDK. The lab must reach the engines without it: to hand them images, and to
take containers away when the agents are gone.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from orchestrator.api.objects import Object

CALL_TIMEOUT_S = 20.0
IMAGE_TIMEOUT_S = 300.0
_BUILT_IN_NETWORKS = ("bridge", "host", "none")
_CHUNK_BYTES = 1 << 20


class EngineUnreachable(Exception):
    """Nobody answers on the socket: the engine is not running, or not ready."""


class EngineRefused(Exception):
    """The engine answered, and said no; the text has its reason."""


class Engine:
    """A Docker Engine by its socket. Each call is a connection of its own."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def answers(self) -> bool:
        """Whether the engine is up."""
        try:
            self._call("GET", "/_ping")
        except (EngineUnreachable, EngineRefused):
            return False
        return True

    def containers(self, *, label: str = "") -> dict[str, Mapping[str, str]]:
        """The labels of all containers by id, running or not; with `label`, of those that carry it."""
        query = {"all": "true"} | ({"filters": json.dumps({"label": [label]})} if label else {})
        listed: list[Object] = json.loads(self._call("GET", f"/containers/json?{urllib.parse.urlencode(query)}"))
        return {str(entry["Id"]): entry.get("Labels") or {} for entry in listed}

    def remove_container(self, container_id: str) -> None:
        """Kill and remove a container; one that is gone already is fine."""
        try:
            self._call("DELETE", f"/containers/{container_id}?force=true&v=true")
        except EngineRefused as refused:
            if "No such container" not in str(refused) and "already in progress" not in str(refused):
                raise

    def networks(self) -> dict[str, str]:
        """The names, by id, of the networks that are not the engine's built-in ones."""
        listed: list[Object] = json.loads(self._call("GET", "/networks"))
        return {str(entry["Id"]): str(entry["Name"]) for entry in listed if entry["Name"] not in _BUILT_IN_NETWORKS}

    def remove_network(self, network_id: str) -> None:
        self._call("DELETE", f"/networks/{network_id}")

    def has_image(self, name: str) -> bool:
        """Whether the engine has the image `name`."""
        try:
            self._call("GET", f"/images/{urllib.parse.quote(name)}/json")
        except EngineRefused as refused:
            if "No such image" in str(refused):
                return False
            raise
        return True

    @contextmanager
    def save(self, name: str) -> Iterator[IO[bytes]]:
        """The image `name` as an archive (`docker save`), to read while the context lasts."""
        with closing(self._connect(IMAGE_TIMEOUT_S)) as connection:
            yield self._answer(connection, "GET", f"/images/{urllib.parse.quote(name)}/get", None)

    def load(self, archive: IO[bytes]) -> None:
        """Take in the images of an archive (`docker load`)."""
        with closing(self._connect(IMAGE_TIMEOUT_S)) as connection:
            answer = self._answer(connection, "POST", "/images/load?quiet=1", _chunks(archive)).read()
        if b'"error"' in answer:
            raise EngineRefused(answer.decode(errors="replace").strip()[:256])

    def _call(self, method: str, path: str) -> bytes:
        with closing(self._connect(CALL_TIMEOUT_S)) as connection:
            return self._answer(connection, method, path, None).read()

    def _answer(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Iterable[bytes] | None
    ) -> http.client.HTTPResponse:
        try:
            headers = {"Content-Type": "application/x-tar"} if body is not None else {}
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            raise EngineUnreachable(f"no Docker Engine answers on '{self._socket_path}': {exc}") from exc
        if response.status >= 400:
            raise EngineRefused(response.read(4096).decode(errors="replace").strip())
        return response

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        return _UnixConnection(self._socket_path, timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
