"""Credentials that outlive a process: whoever wrote a kubeconfig renews it in time; its readers take the new ones."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from orchestrator.machinery.client import Client
from orchestrator.machinery.kubeconfig import BadKubeconfig, load_kubeconfig
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Certificates are renewed weeks before their end, so that a minute is no delay.
_LOOK_EVERY_S = 60.0


async def follow_credentials(client: Client, path: Path, *, every_s: float = _LOOK_EVERY_S) -> None:
    """Have `client` show what the kubeconfig at `path` holds, for ever. A file that cannot be used changes nothing."""
    while True:
        await asyncio.sleep(every_s)
        try:
            # By what it holds, not by when it was written: that may have been before anybody looked for the first time.
            is_new = client.renew(load_kubeconfig(path))
        except FileNotFoundError:
            continue  # taken away: what we have goes on
        except (OSError, BadKubeconfig, ssl.SSLError) as unusable:
            logger.warning("credentials.unusable", path=str(path), why=str(unusable)[:256])
            continue
        if is_new:
            logger.info("credentials.renewed", path=str(path))
