"""The routes that make service addresses local to this node, so that the proxy can simply listen on them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterable

from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Marks our routes in the kernel's table, so that cleaning up takes them and no others. Any number nobody registered.
PROTOCOL = "87"
_TIMEOUT_S = 10.0
_EXISTS = "File exists"
_MISSING = ("No such process", "FIB table does not exist")


class RouteError(Exception):
    """The kernel, or the `ip` command, refused; the text says what and why."""


class Routes:
    """Routes of this node's network namespace. `follow` is safe to repeat."""

    def __init__(self) -> None:
        self._ours: set[str] = set()

    async def follow(self, wanted: Iterable[str], *, again: bool = False) -> None:
        """Have exactly `wanted` (addresses or networks) of ours. Raises `RouteError`, with the others still done.

        What is local already (an address of the node itself) is left as it is. `again` adds even what was added before,
        in case somebody has taken it away.
        """
        targets = {str(ipaddress.IPv4Network(text)) for text in wanted}
        problems: list[str] = []
        for target in sorted(self._ours - targets):
            if await _ip(problems, _MISSING, "route", "del", "local", target, "dev", "lo", "proto", PROTOCOL):
                self._ours.discard(target)
        for target in sorted(targets if again else targets - self._ours):
            if await _ip(problems, (_EXISTS,), "route", "add", "local", target, "dev", "lo", "proto", PROTOCOL):
                self._ours.add(target)
        if problems:
            raise RouteError("; ".join(problems))


async def remove_all() -> None:
    """Remove every route of ours in this network namespace, whoever added it. Raises `RouteError`."""
    problems: list[str] = []
    await _ip(problems, _MISSING, "route", "flush", "table", "local", "proto", PROTOCOL)
    if problems:
        raise RouteError(problems[0])


async def _ip(problems: list[str], fine: Iterable[str], *arguments: str) -> bool:
    """Run `ip`; True if it did, or said one of `fine`."""
    try:
        process = await asyncio.create_subprocess_exec(
            "ip", "-4", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as missing:
        problems.append(f"cannot run ip: {missing}")
        return False
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, said = await process.communicate()
    except asyncio.CancelledError:
        await _end(process)  # or its route might come after all routes have been removed
        raise
    except TimeoutError:
        await _end(process)
        problems.append(f"cannot run ip {' '.join(arguments)}: no end within {_TIMEOUT_S:.0f} s")
        return False
    text = said.decode(errors="replace").strip()
    if process.returncode == 0 or any(words in text for words in fine):
        return True
    problems.append(f"cannot run ip {' '.join(arguments)}: {text}")
    return False


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await asyncio.shield(process.wait())
