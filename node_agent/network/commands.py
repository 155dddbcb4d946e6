"""Running `ip`, `nft` and `iptables`: what they refuse is an error with their own words.

Commands and no netlink library, since this happens a few times in a node's life and the library costs more memory than
the rest of the agent's network code altogether.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

_TIMEOUT_S = 15.0


class NetworkRefused(Exception):
    """The kernel or a command refused; the text says which and why."""


async def run(*argv: str, stdin: str = "") -> str:
    """Run a command and return its output. Raises NetworkRefused."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as missing:
        raise NetworkRefused(f"cannot run '{argv[0]}': {missing}") from missing
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            out, err = await process.communicate(stdin.encode() if stdin else None)
    except TimeoutError as late:
        process.kill()
        await process.wait()
        raise NetworkRefused(f"'{' '.join(argv)}' did not end within {_TIMEOUT_S:g} s") from late
    if process.returncode:
        raise NetworkRefused(f"'{' '.join(argv)}' failed: {err.decode(errors='replace').strip()[:512]}")
    return out.decode()


async def succeeds(argv: Sequence[str]) -> bool:
    """Whether a command runs without complaint."""
    try:
        await run(*argv)
    except NetworkRefused:
        return False
    return True
