"""Timestamps as decisions need them: RFC 3339 text to seconds and back, without a clock."""

from __future__ import annotations

import datetime


def seconds_of(text: str | None) -> float:
    """Seconds since 1970 of an RFC 3339 timestamp; 0.0 for none or nonsense, that is: long ago."""
    if not text:
        return 0.0
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()


def text_of(now: float) -> str:
    """The `metav1.Time` of a moment: UTC, whole seconds."""
    moment = datetime.datetime.fromtimestamp(int(now), tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
