"""Time as an argument: the one protocol, its real implementation, and the API's timestamp forms."""

from __future__ import annotations

import datetime
import math
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Tests pass one of their own."""

    def now(self) -> float:
        """Wall time, in seconds since 1970 (UTC); may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for measuring durations."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


# RFC 3339 has four digits for the year, and clients refuse whole lists for one time that needs five.
_FIRST_S, _LAST_S = -30_610_224_000, 253_402_300_799


def timestamp(now: float) -> str:
    """`metav1.Time`: RFC 3339 in UTC with whole seconds, `2026-01-31T12:00:00Z`. Within the years 1000 and 9999."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(_FIRST_S, min(now, _LAST_S))))


def micro_timestamp(now: float) -> str:
    """`metav1.MicroTime`: RFC 3339 in UTC with six decimals, as leases and events carry it. Within the same years."""
    whole = math.floor(max(_FIRST_S, min(now, _LAST_S)))
    micros = min(int((now - whole) * 1_000_000), 999_999) if _FIRST_S <= now <= _LAST_S else 0
    return f"{timestamp(whole)[:-1]}.{micros:06d}Z"


def parse_timestamp(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 timestamp; raises `ValueError` for anything else."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no time zone")
    return moment.timestamp()
