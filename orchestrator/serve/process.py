"""What the control plane's processes have in common when they start."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.config import BadConfig, Config
from orchestrator.machinery.kubeconfig import BadKubeconfig, ClientConfig, load_kubeconfig
from orchestrator.machinery.libc import libc
from orchestrator.supervisor import PARENT_VARIABLE

#: Below `run_dir`: held by the API server, and by whoever else must be alone with the store.
SERVER_LOCK = "api-server.lock"

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.05
# A killed predecessor needs a moment to be gone; one that is still there after this will not go by itself.
_LOCK_TIMEOUT_S = 20.0


def die_with_parent() -> None:
    """Have SIGTERM sent to us when the supervisor ends, however it ends: its successor starts its own processes."""
    parent = int(os.environ.get(PARENT_VARIABLE) or os.getppid())
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)  # it ended before we asked


def take_all_descriptors() -> None:
    """Let the process have as many descriptors as it may: the usual limit is for programs that use `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def with_advertise_address(config: Config) -> Config:
    """The config with an empty `advertise_address` filled in.

    It is the address that is listened on; where that is all of them, the one from which this machine reaches others.
    """
    if config.advertise_address:
        return config
    if config.listen_address not in ("0.0.0.0", "::"):
        return replace(config, advertise_address=config.listen_address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            # Nothing is sent: connecting a datagram socket only looks up the route. The address is TEST-NET-1.
            sock.connect(("192.0.2.1", 9))
            address = str(sock.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    return replace(config, advertise_address=address)


@asynccontextmanager
async def exclusive(path: Path) -> AsyncIterator[None]:
    """Hold a lock file, after waiting for a predecessor that is on its way out. Raises `BadConfig` if it stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            async with asyncio.timeout(_LOCK_TIMEOUT_S):
                while not _locked(lock.fileno()):  # noqa: ASYNC110 - there is no event for a file lock
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError as exc:
            raise BadConfig(f"cannot use state_dir '{path.parent.parent}': another process holds '{path}'") from exc
        yield


@contextmanager
def own_identity(path: Path) -> Iterator[str]:
    """Who this process is among those that may lead: `HOST_UUID`, for as long as the block lasts.

    The UUID is kept in the file, so that a process that is started again takes its own lease over at once. It belongs
    to whoever holds the file's lock: a second process, or a successor whose predecessor is still there, gets another.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        kept = ""
        if _locked(file.fileno()):
            file.seek(0)
            kept = file.read().strip()
            if not kept:
                kept = str(uuid.uuid4())
                file.truncate(0)
                file.write(f"{kept}\n")
                file.flush()
        yield f"{socket.gethostname()}_{kept or uuid.uuid4()}"


@contextmanager
def exclusive_now(path: Path) -> Iterator[None]:
    """Hold the same lock without waiting. Raises `BlockingIOError` while a process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


async def wait_for_server(kubeconfig: Path) -> ClientConfig:
    """Wait until the API server has written our kubeconfig and accepts connections; the one to reach it by."""
    while True:
        try:
            config = load_kubeconfig(kubeconfig)
            host, _, port = config.server.removeprefix("https://").rpartition(":")
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (BadKubeconfig, OSError):
            await asyncio.sleep(_LOOK_EVERY_S)
            continue
        writer.close()
        return config


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
