"""Durations as `kubectl` prints them (`k8s.io/apimachinery/pkg/util/duration`)."""

from __future__ import annotations

import datetime

from orchestrator.api.memo import memo

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 86400 * 365


def human_duration(seconds: float) -> str:
    """Two significant parts at most: `90s`, `2m30s`, `5h10m`, `3d4h`, `2y10d`. The future is `<invalid>`."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    minutes, hours = total // _MINUTE, total // _HOUR
    if total < 2 * _MINUTE:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{rest}s" if (rest := total % _MINUTE) else f"{minutes}m"
    if minutes < 3 * 60:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{rest}m" if (rest := minutes % 60) else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 8 * 24:
        return f"{hours // 24}d{rest}h" if (rest := hours % 24) else f"{hours // 24}d"
    if hours < 2 * 365 * 24:
        return f"{hours // 24}d"
    years = total // _YEAR
    if hours < 8 * 365 * 24:
        return f"{years}y{rest}d" if (rest := hours // 24 % 365) else f"{years}y"
    return f"{years}y"


@memo(entries_max=4096)
def seconds_of(timestamp: str) -> float:
    """Seconds since 1970 of an RFC 3339 timestamp; raises `ValueError`."""
    return datetime.datetime.fromisoformat(timestamp).timestamp()


def age(timestamp: str | None, now: float) -> str:
    """The duration since a timestamp; `<unknown>` if there is none."""
    return human_duration(now - seconds_of(timestamp)) if timestamp else "<unknown>"
