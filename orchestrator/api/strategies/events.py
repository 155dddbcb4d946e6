"""Events of both groups: rules, selectable fields, and the conversion between their two shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import names
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid, required
from orchestrator.api.strategies.rules import Problems, each, immutable, is_subdomain, qualified_name
from orchestrator.api.strategies.spec_status import Named

# The name in `v1`, and the name in `events.k8s.io/v1`; all other fields are called the same.
_RENAMED = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
_TO_CORE = {current: core for core, current in _RENAMED}
_FROM_CORE = dict(_RENAMED)
_CORE, _CURRENT = "v1", "events.k8s.io/v1"
_LENGTH_MAX = 128
_MESSAGE_LENGTH_MAX = 1024
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIXED = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def to_core(obj: Object) -> Object:
    """The `v1` shape of an event of either group: the shape that is stored."""
    return _converted(obj, _TO_CORE, _CORE)


def from_core(obj: Object) -> Object:
    """The `events.k8s.io/v1` shape of an event of either group."""
    return _converted(obj, _FROM_CORE, _CURRENT)


def _converted(obj: Object, renames: Mapping[str, str], api_version: str) -> Object:
    converted = {renames.get(name, name): value for name, value in obj.items()}
    converted["apiVersion"] = api_version
    return converted


class _Events(Named):
    """Both groups are validated in the `v1` shape; `strict` is what only `events.k8s.io` demands."""

    has_generation = False
    must_exist_for_update = False
    collected = False

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def name_rule(self, name: str) -> Sequence[str]:
        return names.is_valid_path_segment(name)

    def default(self, obj: Object) -> None:
        if "regarding" in obj or obj.get("apiVersion") == _CURRENT:
            obj.setdefault("regarding", {})
            obj.setdefault("deprecatedSource", {})
        else:
            for name in ("involvedObject", "source"):
                obj.setdefault(name, {})
            for name in ("reportingComponent", "reportingInstance"):
                obj.setdefault(name, "")

    def validate_create(self, obj: Object) -> Sequence[Problem]:
        event = to_core(obj)
        problems = [*self._metadata(event, None), *_legacy(event)]
        if self._strict:
            problems += _named(event) + _series(event) + _strict(event)
        return problems

    def validate_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        event, before = to_core(obj), to_core(old)
        problems = [*self._metadata(event, before), *_legacy(event)]
        if self._strict:
            if event.get("series") != before.get("series"):
                problems += _series(event)
            for name in _FIXED:
                if (event.get(name) or None) != (before.get(name) or None):
                    problems += immutable(name, event.get(name), before.get(name))
        return problems

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        event = to_core(obj) if "regarding" in obj else obj
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        fields = {"reason": event.get("reason") or "", "type": event.get("type") or ""}
        reference, component = ("regarding", "reportingController") if self._strict else ("involvedObject", "source")
        involved = event.get("involvedObject") or {}
        fields |= {f"{reference}.{name}": involved.get(name) or "" for name in _REFERENCE}
        fields[component] = (event.get("reportingComponent") or "") if self._strict else source
        if not self._strict:
            fields["reportingComponent"] = event.get("reportingComponent") or ""
        return fields


def _named(event: Object) -> list[Problem]:
    name = (event.get("metadata") or {}).get("name", "")
    return each("metadata.name", name, is_subdomain(name)) if name else []


def _legacy(event: Mapping[str, Any]) -> Problems:
    """The rules both groups keep; events with an `eventTime` come from clients that know the newer ones."""
    problems: Problems = []
    namespace = (event.get("metadata") or {}).get("namespace", "")
    involved = (event.get("involvedObject") or {}).get("namespace", "")
    mismatch = invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if not event.get("eventTime"):
        if (involved and involved != namespace) or (not involved and namespace not in ("", "default")):
            problems.append(mismatch)
    else:
        if not involved and namespace not in ("default", "kube-system"):
            problems.append(mismatch)
        controller = event.get("reportingComponent") or ""
        if not controller:
            problems.append(required("reportingController"))
        problems += qualified_name("reportingController", controller)
        for name in ("reportingInstance", "action", "reason"):
            value = event.get(name) or ""
            if not value:
                problems.append(required(name))
            problems += _length(name, value, _LENGTH_MAX)
        problems += _length("message", event.get("message") or "", _MESSAGE_LENGTH_MAX)
    if messages := is_subdomain(namespace):
        problems += each("namespace", namespace, messages)
    return problems


def _length(field: str, value: str, length_max: int) -> Problems:
    if len(value) <= length_max or len(value.encode()) <= length_max:
        return []
    return [invalid(field, "", f"can have at most {length_max} characters")]


def _series(event: Mapping[str, Any]) -> Problems:
    series = event.get("series")
    if series is None:
        return []
    problems: Problems = []
    if series.get("count", 0) < 2:
        problems.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        problems.append(required("series.lastObservedTime"))
    return problems


def _strict(event: Mapping[str, Any]) -> Problems:
    problems: Problems = []
    if not event.get("eventTime"):
        problems.append(required("eventTime"))
    kind = event.get("type") or ""
    if kind not in ("Normal", "Warning"):
        problems.append(invalid("type", "", f"has invalid value: {kind}"))
    for name in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if event.get(name):
            problems.append(invalid(name, "", "needs to be unset"))
    return problems


EVENTS_STRATEGY = _Events(strict=False)
EVENTS_V1_STRATEGY = _Events(strict=True)
