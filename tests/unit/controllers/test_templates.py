"""Which templates make the same pods, though the one was stored by an older release."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.codec import copied
from orchestrator.api.objects import Object
from orchestrator.api.strategies.pod_defaults import default_template
from orchestrator.api.views.workloads import ControllerRevision, ReplicaSet
from orchestrator.controllers.deployment.decide import newest_of
from orchestrator.controllers.statefulset.revisions import Revisions, decide_revisions
from orchestrator.controllers.templates import same_template
from tests.support.controllers import a_replicaset, a_statefulset, meta

WRITTEN: Object = {
    "metadata": {"labels": {"app": "web"}, "creationTimestamp": None},
    "spec": {
        "serviceAccountName": "web",
        "containers": [
            {
                "name": "main",
                "image": "nginx:1",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "readinessProbe": {"httpGet": {"port": 8080}},
                "lifecycle": {"preStop": {"httpGet": {"port": 8080}}},
            }
        ],
        "initContainers": [{"name": "first", "image": "busybox"}],
        "volumes": [
            {"name": "c", "configMap": {"name": "c"}},
            {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "e"},
        ],
    },
}


def as_stored_today(template: Object) -> Object:
    stored = copied(template)
    default_template(stored)
    return stored


def added(written: Any, stored: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of what defaulting brought."""
    if isinstance(stored, dict):
        paths = [(*path, key) for key in stored if key not in written]
        for key in stored.keys() & written.keys():
            paths += added(written[key], stored[key], (*path, key))
        return paths
    if isinstance(stored, list):
        return [found for index, item in enumerate(stored) for found in added(written[index], item, (*path, index))]
    return []


DEFAULTED = sorted(added(WRITTEN, as_stored_today(WRITTEN)), key=str)


def without(template: Object, *paths: tuple[Any, ...]) -> Object:
    """As a release stored it that did not know these defaults."""
    older = copied(template)
    for *parents, last in paths:
        place: Any = older
        for step in parents:
            place = place[step]
        place.pop(last, None)
    return older


@given(st.sets(st.sampled_from(DEFAULTED)), st.sets(st.sampled_from(DEFAULTED)))
def test_a_template_stored_before_a_default_existed_is_the_same(
    unknown_then: set[tuple[Any, ...]], unknown_now: set[tuple[Any, ...]]
) -> None:
    stored = as_stored_today(WRITTEN)
    assert len(DEFAULTED) > 20
    assert same_template(without(stored, *unknown_then), without(stored, *unknown_now))


# The old name of the service account follows the current one, whatever it says.
@pytest.mark.parametrize("path", [path for path in DEFAULTED if path[-1] != "serviceAccount"], ids=str)
def test_what_differs_from_a_default_is_a_change(path: tuple[Any, ...]) -> None:
    stored = as_stored_today(WRITTEN)
    place: Any = stored
    for step in path[:-1]:
        place = place[step]
    if isinstance(place[path[-1]], str | int):
        place[path[-1]] = "other" if isinstance(place[path[-1]], str) else 77
        assert not same_template(stored, WRITTEN)


def test_an_upgrade_rolls_no_deployment() -> None:
    older: ReplicaSet = a_replicaset(3)
    today = as_stored_today(codec.decode(bytes(older.spec.template)))
    assert newest_of(today, [older]) is older


def test_an_upgrade_rolls_no_statefulset() -> None:
    sts = a_statefulset(3)
    template = codec.decode(bytes(sts.spec.template))
    today = msgspec.Raw(codec.encode(as_stored_today(template)))
    sts = msgspec.structs.replace(sts, spec=msgspec.structs.replace(sts.spec, template=today))
    data = msgspec.Raw(codec.encode({"spec": {"template": {**template, "$patch": "replace"}}}))
    older = ControllerRevision(metadata=meta("web-1"), data=data, revision=1)
    assert decide_revisions(sts, [older]) == Revisions("web-1", "web-1")
