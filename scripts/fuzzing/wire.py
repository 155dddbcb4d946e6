"""One connection at a time to the server, over which anything may be sent; and what the server's process spends."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from scripts.fuzzing.requests import Sent

_TIMEOUT_S = 60.0
_HEAD_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer: its code (0: the server hung up) and the beginning of its body."""

    code: int
    text: str


class Wire:
    """Sends requests; connects again whenever the last answer, or the lack of one, ended the connection."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._port = port
        self._tls = tls
        self._socket: ssl.SSLSocket | None = None

    def send(self, sent: Sent) -> Answered:
        """Send it and read its answer. Raises `TimeoutError` when there is none."""
        reused = self._socket is not None
        try:
            return self._exchange(sent)
        except (ConnectionError, ssl.SSLError):
            self.close()
            if not reused:
                return Answered(0, "")
        try:  # the server may have closed an idle connection
            return self._exchange(sent)
        except (ConnectionError, ssl.SSLError):
            self.close()
            return Answered(0, "")

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _exchange(self, sent: Sent) -> Answered:
        if self._socket is None:
            plain = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_S)
            self._socket = self._tls.wrap_socket(plain, server_hostname="127.0.0.1")
        connection = self._socket
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # it may have answered before all of it was out
            connection.sendall(sent.head + sent.body)
        received = b""
        while b"\r\n\r\n" not in received and len(received) < _HEAD_MAX:
            received += self._more(connection)
            if received.startswith(b"HTTP/1.1 100 "):
                received = received.partition(b"\r\n\r\n")[2]
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        code = int(lines[0].split(" ")[1])
        length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), None)
        is_bare = code in (101, 204, 304) or sent.head.startswith(b"HEAD ")
        if is_bare and code != 101:
            length = 0
        if length is None or code == 101:
            self.close()  # a watch, or something else without an end
            return Answered(code, body[:500].decode("latin-1"))
        while len(body) < length:
            body += self._more(connection)
        if "connection: close" in lines or lines[0].startswith("http/1.0") or sent.about == "noise":
            self.close()
        return Answered(code, body[:2000].decode("latin-1"))

    def _more(self, connection: ssl.SSLSocket) -> bytes:
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the server hung up")
        return data


def cpu_ns(pid: int) -> int:
    """The CPU time that all threads of a process have had."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            spent += int((task / "schedstat").read_text().split(" ", 1)[0])
    return spent
