"""Backups on a timer: when the next one is due, which are old enough to go, and the loop that makes them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import Gauge

from orchestrator.machinery.clock import Clock, parse_timestamp, timestamp
from orchestrator.machinery.log import get_logger
from orchestrator.store.base import StoreFailed

logger = get_logger(__name__)

BACKUP_TIME = Gauge("wherry_store_backup_time_seconds", "When the newest backup was made, in seconds since 1970.")

_NAME = re.compile(r"wherry-(\d{8}T\d{6}Z)\.db", re.ASCII)
# After one that failed: soon enough to be of use, seldom enough for a disk that is full.
_AGAIN_S = 600.0


class BacksUp(Protocol):
    """What makes one backup."""

    async def backup(self, path: Path) -> None: ...


def name_at(now: float) -> str:
    """What a backup made at this moment is called."""
    return f"wherry-{timestamp(now).replace('-', '').replace(':', '')}.db"


def made_at(name: str) -> float | None:
    """When a backup was made; None for a file that is none of ours."""
    found = _NAME.fullmatch(name)
    try:
        return parse_timestamp(found[1]) if found else None
    except ValueError:
        return None


def due_in_s(names: Iterable[str], *, now: float, every_s: float) -> float:
    """How long until the next backup is due. One that claims to be of the future says nothing."""
    made = [at for name in names if (at := made_at(name)) is not None and at <= now]
    return max(0.0, max(made) + every_s - now) if made else 0.0


def surplus(names: Iterable[str], *, kept: int) -> Sequence[str]:
    """The oldest backups, of which there are more than are kept."""
    ours = sorted(name for name in names if made_at(name) is not None)
    return ours[: max(0, len(ours) - kept)]


async def keep_backed_up(store: BacksUp, folder: Path, clock: Clock, *, every_s: float, kept: int) -> None:
    """Make a backup whenever one is due, for ever. One that fails is told of, and tried again."""
    while True:
        wait_s = due_in_s(_names(folder), now=clock.now(), every_s=every_s)
        if wait_s <= 0:
            wait_s = 0.0 if await _back_up(store, folder, clock, kept) else min(_AGAIN_S, every_s)
        await asyncio.sleep(wait_s)


async def _back_up(store: BacksUp, folder: Path, clock: Clock, kept: int) -> bool:
    now = clock.now()
    target = folder / name_at(now)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await store.backup(target)
        for name in surplus(_names(folder), kept=kept):
            (folder / name).unlink()
    except (StoreFailed, OSError):
        logger.exception("store.not_backed_up", path=str(target))
        return False
    BACKUP_TIME.set(now)
    logger.info("store.backed_up", path=str(target))
    return True


def _names(folder: Path) -> Sequence[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return ()
