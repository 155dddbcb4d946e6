"""The options of writes: what they mean, and what is refused in Kubernetes' words before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.machinery.errors import BadRequest, Invalid
from orchestrator.server.writing.options import DeleteOptions, check, of_deletion

KINDS = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}


@pytest.mark.parametrize("verb", KINDS)
@pytest.mark.parametrize("value", ["foo", "all", "", "true"])
def test_a_dry_run_that_means_nothing_is_no_write_in_earnest(verb: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(verb, {"dryRun": value})
    assert refused.value.message == (
        f'{KINDS[verb]}.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["{value}"]: supported values: "All"'
    )
    assert refused.value.details["kind"] == KINDS[verb]
    assert refused.value.details["group"] == "meta.k8s.io"


@pytest.mark.parametrize("verb", [*KINDS, "get", "list", "watch"])
def test_what_means_something_passes(verb: str) -> None:
    check(verb, {})
    check(verb, {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "kubectl-edit", "pretty": "true"})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check("patch", {"dryRun": "x", "fieldValidation": "Maybe", "fieldManager": "a\nb" + "c" * 126})
    assert [cause["field"] for cause in refused.value.details["causes"]] == [
        "dryRun",
        "fieldManager",
        "fieldManager",
        "fieldValidation",
    ]
    assert 'fieldValidation: Unsupported value: "Maybe": supported values: "", "Ignore", "Strict", "Warn"' in (
        refused.value.message
    )
    assert "invalid character U+000A (at position 1)" in refused.value.message
    assert "fieldManager: Too long: may not be more than 128 bytes" in refused.value.message


def test_options_of_a_deletion_come_from_the_body_or_the_query() -> None:
    query = {"gracePeriodSeconds": "3", "propagationPolicy": "Orphan"}
    assert of_deletion({}, query) == DeleteOptions(grace_s=3, propagation="Orphan")
    assert of_deletion({"gracePeriodSeconds": 0}, query) == DeleteOptions(grace_s=0, propagation="Orphan")
    assert of_deletion({"orphanDependents": False}, {}) == DeleteOptions(propagation="Background")
    assert of_deletion({}, {"orphanDependents": ""}) == DeleteOptions(propagation="Orphan")
    assert of_deletion({"dryRun": ["All"]}, {}).is_dry_run
    assert of_deletion({}, {"dryRun": "All"}).is_dry_run


@pytest.mark.parametrize(
    ("body", "query", "message"),
    [
        pytest.param(
            {"propagationPolicy": "Sideways"},
            {},
            'propagationPolicy: Unsupported value: "Sideways": '
            'supported values: "Foreground", "Background", "Orphan", "nil"',
            id="unknown-policy",
        ),
        pytest.param(
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            {},
            'propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
            id="both",
        ),
        pytest.param(
            {"dryRun": ["All", "Some"]},
            {},
            'dryRun: Unsupported value: ["All","Some"]: supported values: "All"',
            id="dry-run-is-all",
        ),
    ],
)
def test_options_of_a_deletion_that_make_no_sense(body: dict[str, Any], query: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as refused:
        of_deletion(body, query)
    assert refused.value.message == f'DeleteOptions.meta.k8s.io "" is invalid: {message}'


@pytest.mark.parametrize("text", ["soon", "1_0", "\uff11", "1.5", "99999999999999999999"])
def test_a_grace_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"strconv\.ParseInt"):
        of_deletion({}, {"gracePeriodSeconds": text})
