"""Events: two shapes of one object, and what each group refuses."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.events import EVENTS_STRATEGY, EVENTS_V1_STRATEGY, from_core, to_core
from tests.support.manifests import a_meta, changed, created, refusals, update_refusals

INVOLVED = {"kind": "Pod", "namespace": "default", "name": "web", "uid": "u", "apiVersion": "v1"}
CORE = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": a_meta("web.17"),
    "involvedObject": INVOLVED,
    "reason": "Started",
    "message": "Started container main",
    "source": {"component": "kubelet", "host": "n1"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:01:00Z",
    "count": 2,
    "type": "Normal",
    "reportingComponent": "kubelet",
    "reportingInstance": "n1",
}
CURRENT = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": a_meta("web.18"),
    "regarding": INVOLVED,
    "reason": "Started",
    "note": "Started container main",
    "type": "Normal",
    "action": "Start",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "kubelet",
    "reportingInstance": "n1",
}


def test_the_two_shapes_are_one_object():
    assert from_core(CORE) == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": a_meta("web.17"),
        "regarding": INVOLVED,
        "reason": "Started",
        "note": "Started container main",
        "deprecatedSource": {"component": "kubelet", "host": "n1"},
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
        "deprecatedLastTimestamp": "2026-01-01T00:01:00Z",
        "deprecatedCount": 2,
        "type": "Normal",
        "reportingController": "kubelet",
        "reportingInstance": "n1",
    }
    assert to_core(from_core(CORE)) == CORE
    assert from_core(to_core(CURRENT)) == CURRENT
    assert to_core(CORE) == CORE


def test_good_events_are_accepted():
    assert refusals(EVENTS_STRATEGY, CORE) == []
    assert refusals(EVENTS_V1_STRATEGY, CURRENT) == []
    assert refusals(EVENTS_V1_STRATEGY, to_core(CURRENT)) == []


def test_defaults():
    bare = {"apiVersion": "v1", "kind": "Event", "metadata": a_meta("e")}
    assert created(EVENTS_STRATEGY, bare) == {
        **bare,
        "involvedObject": {},
        "source": {},
        "reportingComponent": "",
        "reportingInstance": "",
    }


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "involvedObject/namespace",
            "other",
            ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
            id="namespace",
        ),
        pytest.param("message", "x" * 5000, [], id="old-events-may-be-long"),
        pytest.param("metadata/name", "Any_Name!", [], id="any-name"),
        pytest.param(
            "metadata/name", "a/b", ["metadata.name: Invalid value: \"a/b\": may not contain '/'"], id="slash"
        ),
    ],
)
def test_rules_of_core_events(path, value, expected):
    assert refusals(EVENTS_STRATEGY, changed(CORE, path, value)) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("note", "x" * 1025, ['message: Invalid value: "": can have at most 1024 characters'], id="note"),
        pytest.param("action", "", ["action: Required value"], id="action"),
        pytest.param("type", "Odd", ['type: Invalid value: "": has invalid value: Odd'], id="type"),
        pytest.param("deprecatedCount", 1, ['count: Invalid value: "": needs to be unset'], id="count"),
        pytest.param(
            "series",
            {"count": 1},
            ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"],
            id="series",
        ),
        pytest.param("eventTime", None, ["eventTime: Required value"], id="time"),
    ],
)
def test_rules_of_current_events(path, value, expected):
    assert refusals(EVENTS_V1_STRATEGY, changed(CURRENT, path, value)) == expected


def test_only_the_series_of_a_current_event_changes():
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
    assert update_refusals(EVENTS_V1_STRATEGY, changed(CURRENT, "series", series), CURRENT) == []
    assert update_refusals(EVENTS_V1_STRATEGY, changed(CURRENT, "note", "other"), CURRENT) == [
        'message: Invalid value: "other": field is immutable'
    ]
    assert update_refusals(EVENTS_STRATEGY, changed(CORE, "count", 3), CORE) == []


def test_selectable_fields():
    assert EVENTS_STRATEGY.selectable_fields(CORE) == {
        "reason": "Started",
        "type": "Normal",
        "involvedObject.kind": "Pod",
        "involvedObject.namespace": "default",
        "involvedObject.name": "web",
        "involvedObject.uid": "u",
        "involvedObject.apiVersion": "v1",
        "involvedObject.resourceVersion": "",
        "involvedObject.fieldPath": "",
        "source": "kubelet",
        "reportingComponent": "kubelet",
    }
    fields = EVENTS_V1_STRATEGY.selectable_fields(CURRENT)
    assert fields == EVENTS_V1_STRATEGY.selectable_fields(to_core(CURRENT))
    assert (fields["regarding.name"], fields["reportingController"]) == ("web", "kubelet")
