"""Names, labels, annotations, owners and finalizers: what Kubernetes refuses, in its words."""

from __future__ import annotations

import pytest

from orchestrator.api import names
from orchestrator.api.strategies.metadata import validate_annotations, validate_label_selector, validate_object_meta

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LONG = "x" * 254
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u"}


def problems(meta, *, namespaced=True, name_rule=names.is_dns1123_subdomain, old=None):
    found = validate_object_meta(
        {"metadata": {"name": "web", "namespace": "default", **meta}},
        namespaced=namespaced,
        name_rule=name_rule,
        old={"metadata": {"name": "web", "namespace": "default", **old}} if old is not None else None,
    )
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        pytest.param({}, [], id="good"),
        pytest.param({"name": ""}, ["metadata.name: Required value: name or generateName is required"], id="no-name"),
        pytest.param({"name": "A_b"}, [f'metadata.name: Invalid value: "A_b": {SUBDOMAIN}'], id="bad-name"),
        pytest.param(
            {"name": LONG}, [f'metadata.name: Invalid value: "{LONG}": must be no more than 253 bytes'], id="long"
        ),
        pytest.param({"generateName": "web-", "name": "web-x2x4x"}, [], id="a-prefix-may-end-in-a-dash"),
        pytest.param(
            {"generateName": "-web", "name": "web"},
            [f'metadata.generateName: Invalid value: "-web": {SUBDOMAIN}'],
            id="bad-prefix",
        ),
        pytest.param(
            {"generateName": "-", "name": "web"},
            [f'metadata.generateName: Invalid value: "-": {SUBDOMAIN}'],
            id="nothing-but-a-dash",
        ),
        pytest.param(
            {"generateName": "web_", "name": "web"},
            [f'metadata.generateName: Invalid value: "web_": {SUBDOMAIN}'],
            id="only-a-dash-may-end-a-prefix",
        ),
        pytest.param({"generateName": "a-", "name": "a-x"}, [], id="a-letter-and-a-dash"),
        pytest.param({"namespace": ""}, ["metadata.namespace: Required value"], id="no-namespace"),
        pytest.param(
            {"namespace": "a.b"},
            ['metadata.namespace: Invalid value: "a.b": must not contain dots'],
            id="dotted-namespace",
        ),
        pytest.param(
            {"labels": {"app": "-"}},
            [
                'metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of '
                "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ],
            id="label-value",
        ),
        pytest.param(
            {"labels": {"/app": "x"}},
            ['metadata.labels: Invalid value: "/app": prefix part must be non-empty'],
            id="label-key",
        ),
        pytest.param({"annotations": {"Example.COM/Key": "any thing\n"}}, [], id="annotations-in-any-case"),
        pytest.param(
            {"annotations": {"a/": ""}},
            [
                'metadata.annotations: Invalid value: "a/": name part must be non-empty',
                "metadata.annotations: Invalid value: \"a/\": name part must consist of alphanumeric characters, '-', "
                "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
                "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
            id="annotation-key",
        ),
        pytest.param(
            {"generation": -1},
            ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
            id="generation",
        ),
        pytest.param({"ownerReferences": [OWNER]}, [], id="good-owner"),
        pytest.param(
            {"ownerReferences": [{}]},
            [
                'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
                'metadata.ownerReferences.kind: Invalid value: "": must not be empty',
                'metadata.ownerReferences.name: Invalid value: "": must not be empty',
                'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
            ],
            id="empty-owner",
        ),
        *(
            pytest.param(
                {"ownerReferences": [{**OWNER, "apiVersion": version}]},
                [f'metadata.ownerReferences.apiVersion: Invalid value: "{version}": version must not be empty'],
                id=f"version-{version}",
            )
            for version in ("apps/", "a/b/c")
        ),
        pytest.param({"ownerReferences": [{**OWNER, "apiVersion": "v1"}]}, [], id="owner-of-the-core-group"),
        pytest.param({"ownerReferences": [{**OWNER, "kind": "Event"}]}, [], id="an-owner-only-called-event"),
        pytest.param({"finalizers": ["example.com/hold", "orphan"]}, [], id="good-finalizers"),
        pytest.param(
            {"finalizers": ["mine"]},
            [
                'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it '
                "fully qualified"
            ],
            id="finalizer-without-domain",
        ),
        pytest.param(
            {"finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
                "foregroundDeletion cannot be both set"
            ],
            id="contradicting-finalizers",
        ),
    ],
)
def test_create(meta, expected):
    assert problems(meta) == expected


def test_two_controllers_are_one_too_many():
    owners = [{**OWNER, "controller": True}, {**OWNER, "name": "other", "controller": True}]
    (only,) = problems({"ownerReferences": owners})
    assert only.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for ReplicaSet/web and '
        "ReplicaSet/other"
    )


def test_events_own_nothing():
    (only,) = problems({"ownerReferences": [{**OWNER, "apiVersion": "v1", "kind": "Event"}]})
    assert only.endswith("/v1, Kind=Event is disallowed from being an owner")


def test_cluster_wide_objects_have_no_namespace():
    assert problems({}, namespaced=False) == ["metadata.namespace: Forbidden: not allowed on this type"]
    assert problems({"namespace": None}, namespaced=False) == []


def test_annotations_have_a_limit_together():
    found = validate_annotations({"a": "x" * 200_000, "b": "y" * 100_000}, "metadata.annotations")
    assert [str(problem) for problem in found] == ["metadata.annotations: Too long: may not be more than 262144 bytes"]


@pytest.mark.parametrize(
    ("meta", "old", "expected"),
    [
        pytest.param({}, {"uid": "a"}, [], id="left-out-is-kept"),
        pytest.param({"uid": "a"}, {"uid": "a"}, [], id="same"),
        pytest.param({"uid": "b"}, {"uid": "a"}, ['metadata.uid: Invalid value: "b": field is immutable'], id="uid"),
        pytest.param({"name": "b"}, {}, ['metadata.name: Invalid value: "b": field is immutable'], id="name"),
        pytest.param(
            {"creationTimestamp": "2026-01-02T00:00:00Z"},
            {"creationTimestamp": "2026-01-01T00:00:00Z"},
            ['metadata.creationTimestamp: Invalid value: "2026-01-02T00:00:00Z": field is immutable'],
            id="creation",
        ),
        pytest.param(
            {"finalizers": ["a.b/c", "a.b/d"]},
            {"finalizers": ["a.b/c"], "deletionTimestamp": "2026-01-01T00:00:00Z"},
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found "
                'new finalizers []string{"a.b/d"}'
            ],
            id="finalizers-of-the-dying",
        ),
    ],
)
def test_update(meta, old, expected):
    assert problems(meta, old=old) == expected


def test_a_bad_name_that_is_already_stored_does_not_block_updates():
    assert problems({"name": "web", "labels": {"a": "b"}}, name_rule=lambda name: ["never"], old={}) == []


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({"matchLabels": {"a": "b"}}, [], id="labels"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, [], id="in"),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            ["s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"],
            id="in-nothing",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            [
                "s.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or "
                "'DoesNotExist'"
            ],
            id="exists-something",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "Near"}]},
            ['s.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator'],
            id="unknown-operator",
        ),
    ],
)
def test_label_selectors(selector, expected):
    assert [str(problem) for problem in validate_label_selector(selector, "s")] == expected


def test_messages_of_labels_are_the_shared_ones():
    assert problems({"namespace": "A"}) == [f'metadata.namespace: Invalid value: "A": {LABEL}']
