"""What a deletion does to an object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.kinds import BUILT_IN, Kind
from orchestrator.machinery.clock import parse_timestamp
from orchestrator.machinery.errors import Conflict
from orchestrator.server.writing.deletion import (
    Deletion,
    Mark,
    Nothing,
    Remove,
    check_preconditions,
    decide,
)
from orchestrator.server.writing.options import DeleteOptions

NOW = 1_700_000_000.0
POD = BUILT_IN.find("", "v1", "pods")
CONFIGMAP = BUILT_IN.find("", "v1", "configmaps")
NAMESPACE = BUILT_IN.find("", "v1", "namespaces")


def an_object(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "uid": "u", "resourceVersion": "5", **metadata}}


def a_pod(node: str = "n1", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 30}
    return {**an_object(**metadata), "spec": spec, "status": {"phase": phase}}


def dying(grace_s: int = 0, **metadata: Any) -> dict[str, Any]:
    return {"deletionTimestamp": "2023-11-14T22:13:50Z", "deletionGracePeriodSeconds": grace_s, **metadata}


def outcome(deletion: Deletion) -> Any:
    """The deletion in short: what it marks, if it marks."""
    match deletion:
        case Mark(obj):
            meta = obj["metadata"]
            return (meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"], meta.get("finalizers"))
        case Remove():
            return "remove"
        case Nothing():
            return "nothing"


@pytest.mark.parametrize(
    ("kind", "obj", "options", "expected"),
    [
        pytest.param(CONFIGMAP, an_object(), DeleteOptions(), "remove", id="nothing-to-wait-for"),
        pytest.param(
            CONFIGMAP,
            an_object(finalizers=["a/b"]),
            DeleteOptions(),
            ("2023-11-14T22:13:20Z", 0, ["a/b"]),
            id="finalizers-hold",
        ),
        pytest.param(
            CONFIGMAP,
            an_object(),
            DeleteOptions(propagation="Foreground"),
            ("2023-11-14T22:13:20Z", 0, ["foregroundDeletion"]),
            id="foreground",
        ),
        pytest.param(
            CONFIGMAP,
            an_object(finalizers=["orphan"]),
            DeleteOptions(propagation="Background"),
            "remove",
            id="background-takes-back-orphan",
        ),
        pytest.param(CONFIGMAP, an_object(**dying(finalizers=["a/b"])), DeleteOptions(), "nothing", id="twice"),
        pytest.param(POD, a_pod(), DeleteOptions(), ("2023-11-14T22:13:50Z", 30, None), id="pod-has-grace"),
        pytest.param(POD, a_pod(), DeleteOptions(grace_s=5), ("2023-11-14T22:13:25Z", 5, None), id="grace-as-asked"),
        pytest.param(POD, a_pod(), DeleteOptions(grace_s=0), "remove", id="no-grace"),
        pytest.param(POD, a_pod(node=""), DeleteOptions(), "remove", id="pod-on-no-node"),
        pytest.param(POD, a_pod(phase="Succeeded"), DeleteOptions(), "remove", id="pod-that-ended"),
        pytest.param(POD, a_pod(**dying(30)), DeleteOptions(), "nothing", id="pod-dying-already"),
        pytest.param(POD, a_pod(**dying(30)), DeleteOptions(grace_s=60), "nothing", id="grace-never-grows"),
        pytest.param(
            POD, a_pod(**dying(30)), DeleteOptions(grace_s=10), ("2023-11-14T22:13:30Z", 10, None), id="grace-shrinks"
        ),
        pytest.param(POD, a_pod(**dying(30)), DeleteOptions(grace_s=0), "remove", id="kubelet-is-done"),
        pytest.param(
            POD,
            a_pod(**dying(30, finalizers=["a/b"])),
            DeleteOptions(grace_s=0),
            ("2023-11-14T22:13:20Z", 0, ["a/b"]),
            id="kubelet-is-done-finalizers-are-not",
        ),
        pytest.param(
            NAMESPACE,
            {**an_object(), "spec": {"finalizers": ["kubernetes"]}},
            DeleteOptions(),
            ("2023-11-14T22:13:20Z", 0, None),
            id="namespace-is-emptied-first",
        ),
        pytest.param(
            NAMESPACE,
            {**an_object(**dying()), "spec": {"finalizers": ["kubernetes"]}},
            DeleteOptions(),
            "nothing",
            id="namespace-twice",
        ),
    ],
)
def test_decide(kind: Kind, obj: dict[str, Any], options: DeleteOptions, expected: Any) -> None:
    assert outcome(decide(kind, obj, options, now=NOW)) == expected


def test_a_deletion_that_waits_is_a_change_of_what_is_wanted_and_counts_once() -> None:
    assert POD is not None
    first = decide(POD, a_pod(generation=3), DeleteOptions(), now=NOW)
    assert isinstance(first, Mark)
    assert first.obj["metadata"]["generation"] == 4
    sooner = decide(POD, first.obj, DeleteOptions(grace_s=5), now=NOW)
    assert isinstance(sooner, Mark)
    assert sooner.obj["metadata"]["generation"] == 4
    without = decide(POD, a_pod(), DeleteOptions(), now=NOW)
    assert isinstance(without, Mark)
    assert "generation" not in without.obj["metadata"]


def test_a_namespace_says_that_it_is_terminating() -> None:
    assert NAMESPACE is not None
    decision = decide(NAMESPACE, {**an_object(), "spec": {"finalizers": ["kubernetes"]}}, DeleteOptions(), now=NOW)
    assert isinstance(decision, Mark)
    assert decision.obj["status"] == {"phase": "Terminating"}


def test_preconditions() -> None:
    assert CONFIGMAP is not None
    check_preconditions(CONFIGMAP, an_object(), DeleteOptions(uid="u", resource_version="5"))
    with pytest.raises(Conflict, match=r"the UID in the precondition \(v\) does not match the UID in record \(u\)"):
        check_preconditions(CONFIGMAP, an_object(), DeleteOptions(uid="v"))
    with pytest.raises(Conflict, match=r"the ResourceVersion in the precondition \(4\) does not"):
        check_preconditions(CONFIGMAP, an_object(), DeleteOptions(resource_version="4"))


int64s = st.integers(-(1 << 63), (1 << 63) - 1)


@given(requested=st.none() | int64s, own=int64s, later=int64s)
def test_no_grace_makes_a_pod_that_cannot_be_deleted_or_listed(requested: int | None, own: int, later: int) -> None:
    pod = a_pod()
    pod["spec"]["terminationGracePeriodSeconds"] = own
    first = decide(POD, pod, DeleteOptions(grace_s=requested), now=NOW)
    for deletion in (
        first,
        decide(POD, first.obj, DeleteOptions(grace_s=later), now=NOW) if isinstance(first, Mark) else first,
    ):
        if isinstance(deletion, Mark):
            meta = deletion.obj["metadata"]
            assert parse_timestamp(meta["deletionTimestamp"]) <= NOW + 2**31
            assert 0 <= meta["deletionGracePeriodSeconds"] < 2**31
    if isinstance(first, Mark):
        assert isinstance(decide(POD, first.obj, DeleteOptions(grace_s=0), now=NOW), Remove)


def test_a_time_that_nobody_can_read_holds_no_deletion_up() -> None:
    pod = a_pod(deletionTimestamp="3170900-01-01T00:00:00Z", deletionGracePeriodSeconds=99999999999999)
    assert outcome(decide(POD, pod, DeleteOptions(grace_s=5), now=NOW)) == ("2023-11-14T22:13:25Z", 5, None)
    assert outcome(decide(POD, pod, DeleteOptions(grace_s=0), now=NOW)) == "remove"


@pytest.mark.parametrize("policy", ["Foreground", "Orphan"])
@pytest.mark.parametrize("group", ["", "events.k8s.io"])
def test_an_event_is_given_no_finalizer_that_nobody_takes_off(group: str, policy: str) -> None:
    event = BUILT_IN.find(group, "v1", "events")
    assert event is not None
    assert outcome(decide(event, an_object(), DeleteOptions(propagation=policy), now=NOW)) == "remove"
