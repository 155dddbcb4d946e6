"""What the server says of every object, whatever its client says."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api.objects import Object
from orchestrator.server.dice import Dice
from orchestrator.server.writing.metadata import fill_changed, fill_new, generated_name, is_same, may_vanish, named

ENDS = "2026-01-01T00:00:30Z"
BEFORE = {"name": "x", "namespace": "n", "uid": "u", "creationTimestamp": "t", "generation": 3, "resourceVersion": "9"}


def changed(meta: Object, old: Object | None = None, *, spec: int = 1, has_generation: bool = True) -> Object:
    """The metadata that a change is given."""
    obj: Object = {"metadata": dict(meta), "spec": spec, "status": spec}
    fill_changed(obj, {"metadata": old or BEFORE, "spec": 1, "status": 1}, has_generation=has_generation)
    result: Object = obj["metadata"]
    return result


@pytest.mark.parametrize("length", [1, 58, 59, 253])
def test_a_generated_name_is_a_label_long_at_most(length: int) -> None:
    name = generated_name("x" * length, Dice(1))
    assert len(name) == min(length + 5, 63)
    assert name.startswith("x" * min(length, 58))


@pytest.mark.parametrize(
    ("meta", "is_named"),
    [({"generateName": "web-"}, True), ({"generateName": "web-", "name": "web"}, False), ({"name": "web"}, False)],
)
def test_only_who_has_no_name_is_given_one(meta: Object, is_named: bool) -> None:
    obj: Object = {"metadata": dict(meta)}
    assert named(obj, Dice(1)) is is_named
    assert obj["metadata"]["name"].startswith("web-") is is_named


@pytest.mark.parametrize("has_generation", [True, False])
def test_nothing_that_a_client_says_of_a_new_object_is_the_servers(has_generation: bool) -> None:
    said: Object = {
        **BEFORE, "selfLink": "s", "deletionTimestamp": ENDS, "deletionGracePeriodSeconds": 5, "managedFields": [{}],
    }  # fmt: skip
    obj: Object = {"metadata": {**said, "labels": {"a": "b"}}}
    fill_new(obj, namespace="n", created="now", has_generation=has_generation, dice=Dice(1))
    known = {"name": "x", "namespace": "n", "uid": Dice(1).uid(), "creationTimestamp": "now", "labels": {"a": "b"}}
    assert obj["metadata"] == (known | {"generation": 1} if has_generation else known)


def test_what_a_client_leaves_out_or_cannot_know_is_as_it_was() -> None:
    kept = {key: value for key, value in BEFORE.items() if key != "resourceVersion"}
    assert changed({"resourceVersion": "9", "selfLink": "s", "managedFields": []}) == kept
    assert changed({"uid": "other"})["uid"] == "other", "for validation to refuse"
    dying = {**BEFORE, "deletionTimestamp": ENDS, "deletionGracePeriodSeconds": 5}
    found = changed({"deletionTimestamp": "another", "deletionGracePeriodSeconds": 90}, dying)
    assert (found["deletionTimestamp"], found["deletionGracePeriodSeconds"]) == (ENDS, 5)


@pytest.mark.parametrize(
    ("spec", "has_generation", "expected"), [(1, True, 3), (2, True, 4), (2, False, 3)], ids=["same", "spec", "door"]
)
def test_a_generation_counts_changes_of_what_is_wanted(spec: int, has_generation: bool, expected: int) -> None:
    assert changed({"generation": 77}, spec=spec, has_generation=has_generation)["generation"] == expected


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"status": {"a": 2}}, False),
        ({"metadata": {"name": "x", "labels": {"a": "b"}}}, False),
        ({"more": 1}, False),
    ],
)
def test_what_would_change_nothing(changes: Object, same: bool) -> None:
    obj = {"metadata": {"name": "x"}, "status": {"a": 1}}
    old = {"metadata": {"name": "x", "resourceVersion": "9"}, "status": {"a": 1}}
    assert is_same({**obj, **changes}, old) is same


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        pytest.param({}, False, id="living"),
        pytest.param({"deletionTimestamp": ENDS}, True, id="nothing-to-wait-for"),
        pytest.param({"deletionTimestamp": ENDS, "deletionGracePeriodSeconds": 0}, True, id="no-grace"),
        pytest.param({"deletionTimestamp": ENDS, "deletionGracePeriodSeconds": 5}, False, id="grace"),
        pytest.param({"deletionTimestamp": ENDS, "finalizers": ["a/b"]}, False, id="finalizers"),
    ],
)
def test_when_an_object_may_vanish(meta: dict[str, Any], expected: bool) -> None:
    assert may_vanish({"metadata": meta}) is expected
