"""Columns of events, in their core form and in that of events.k8s.io."""

from __future__ import annotations

from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import NAME, Column, name_cell
from orchestrator.api.printing.durations import age


def _either(obj: Object, core: str, new: str) -> Any:
    """A field of the core form, or its counterpart in events.k8s.io."""
    return obj.get(core) or obj.get(new)


def _first_seen(obj: Object, now: float) -> str:
    return age(_either(obj, "firstTimestamp", "deprecatedFirstTimestamp") or obj.get("eventTime"), now)


def _last_seen(obj: Object, now: float) -> str:
    if series := obj.get("series"):
        return age(series.get("lastObservedTime"), now)
    last = _either(obj, "lastTimestamp", "deprecatedLastTimestamp")
    return age(last, now) if last else _first_seen(obj, now)


def _target(obj: Object, now: float) -> str:
    regarding = _either(obj, "involvedObject", "regarding") or {}
    kind, name = regarding.get("kind", "").lower(), regarding.get("name", "")
    return f"{kind}/{name}" if name else kind


def _subobject(obj: Object, now: float) -> str:
    path: str = (_either(obj, "involvedObject", "regarding") or {}).get("fieldPath", "")
    return path


def _source(obj: Object, now: float) -> str:
    source = _either(obj, "source", "deprecatedSource") or {}
    component = source.get("component") or _either(obj, "reportingComponent", "reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance")
    return f"{component}, {host}" if host else component


def _count(obj: Object, now: float) -> int:
    if series := obj.get("series"):
        return series.get("count") or 0
    return _either(obj, "count", "deprecatedCount") or 1


CORE_EVENTS = (
    Column("Last Seen", _last_seen, description="How long ago it happened last."),
    Column("Type", lambda obj, now: obj.get("type", ""), description="Normal or Warning."),
    Column("Reason", lambda obj, now: obj.get("reason", ""), description="Why, in one word."),
    Column("Object", _target, description="What it happened to."),
    Column("Subobject", _subobject, priority=1, description="The part of the object it happened to."),
    Column("Source", _source, priority=1, description="Who tells of it."),
    Column("Message", lambda obj, now: (_either(obj, "message", "note") or "").strip(), description="What happened."),
    Column("First Seen", _first_seen, priority=1, description="How long ago it happened first."),
    Column("Count", _count, priority=1, type="integer", description="How often it happened."),
    Column("Name", name_cell, priority=1, format="name", description=NAME.description),
)
EVENTS = CORE_EVENTS
