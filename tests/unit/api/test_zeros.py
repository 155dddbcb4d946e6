from __future__ import annotations

import pytest

from orchestrator.api.kinds import KINDS
from orchestrator.api.schema.definitions import schema_of, schema_of_kind
from orchestrator.api.schema.shapes import Schema
from orchestrator.api.schema.zeros import WRITTEN_WHEN_ZERO


@pytest.mark.parametrize(
    ("struct", "field", "written"),
    [
        ("v1.DeploymentSpec", "replicas", True),
        ("v1.DeploymentSpec", "paused", False),
        ("v1.PodSpec", "terminationGracePeriodSeconds", True),
        ("v1.PodSpec", "automountServiceAccountToken", True),
        ("v1.PodSpec", "hostNetwork", False),
        ("v1.ContainerPort", "containerPort", True),
        ("v1.ContainerPort", "hostPort", False),
        ("v1.SecurityContext", "runAsUser", True),
        ("v1.EnvVar", "value", False),
        ("v1.DeleteOptions", "gracePeriodSeconds", True),
    ],
)
def test_zero_and_unset_differ_where_they_do_in_kubernetes(struct: str, field: str, written: bool) -> None:
    assert ((struct, field) in WRITTEN_WHEN_ZERO) is written


def test_every_entry_names_a_field_that_exists() -> None:
    known: set[tuple[str, str]] = set()
    waiting: list[Schema] = [schema_of(row.resource) for row in KINDS] + [
        schema_of_kind("meta.k8s.io/v1", "DeleteOptions"),
        schema_of_kind("authentication.k8s.io/v1", "TokenRequest"),
    ]
    seen: set[int] = set()
    while waiting:
        schema = waiting.pop()
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        known |= {(schema.name, field) for field in schema.properties}
        waiting += [*schema.properties.values(), *([schema.items] if schema.items else [])]
    assert known >= WRITTEN_WHEN_ZERO
