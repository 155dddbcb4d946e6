"""Errors keep their meaning over the wire."""

from __future__ import annotations

import pytest

from orchestrator.api.problems import Problem, invalid, required
from orchestrator.machinery import errors


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.NotFound('pods "a" not found', details={"name": "a", "kind": "pods"}), id="not-found"),
        pytest.param(errors.AlreadyExists('pods "a" already exists'), id="already-exists"),
        pytest.param(errors.Conflict("modified"), id="conflict"),
        pytest.param(errors.Gone("too old"), id="gone"),
        pytest.param(errors.TooManyRequests("slow down", retry_after_s=3), id="too-many"),
    ],
)
def test_an_error_survives_the_way_through_a_status(error: errors.ApiError) -> None:
    back = errors.error_of_status(error.status_code, error.as_status())
    assert type(back) is type(error)
    assert back.as_status() == error.as_status()


def test_an_answer_that_is_no_status_is_told_by_its_code() -> None:
    assert isinstance(errors.error_of_status(404, {}), errors.NotFound)
    assert isinstance(errors.error_of_status(502, {}), errors.InternalError)
    assert isinstance(errors.error_of_status(409, {}), errors.Conflict)


def test_invalid_lists_every_problem_in_the_words_of_kubernetes() -> None:
    problems = [
        required("spec.containers[0].image"),
        invalid("spec.replicas", -1, "must be greater than or equal to 0"),
    ]
    error = errors.Invalid.of(group="apps", kind="Deployment", name="web", problems=problems)
    assert error.as_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Deployment.apps "web" is invalid: [spec.containers[0].image: Required value, '
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0]",
        "reason": "Invalid",
        "code": 422,
        "details": {
            "name": "web",
            "group": "apps",
            "kind": "Deployment",
            "causes": [
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers[0].image"},
                {
                    "reason": "FieldValueInvalid",
                    "message": "Invalid value: -1: must be greater than or equal to 0",
                    "field": "spec.replicas",
                },
            ],
        },
    }


def test_of_very_many_problems_the_first_are_told() -> None:
    problems = [Problem(f"a[{n}]", "FieldValueRequired", "Required value") for n in range(100_000)]
    error = errors.Invalid.of(group="", kind="Pod", name="web", problems=problems)
    assert len(error.details["causes"]) == 1000
    assert len(error.message) < 50_000


@pytest.mark.parametrize(
    "error", [errors.NotFound("x"), errors.MethodNotAllowed("x", details={}), errors.Conflict("x")]
)
def test_details_survive_though_they_are_empty(error: errors.ApiError) -> None:
    assert error.as_status()["details"] == {}
    again = errors.error_of_status(error.status_code, error.as_status())
    assert again.as_status() == error.as_status()
    assert "details" not in errors.BadRequest("x").as_status()
