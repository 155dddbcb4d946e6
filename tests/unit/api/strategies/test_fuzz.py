"""Whatever the schema lets through is judged by the rules: an answer, never an exception."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.api.kinds import KINDS
from orchestrator.api.schema import definitions, walker
from orchestrator.api.schema.shapes import Schema, Shape

STORED = [kind for kind in KINDS if "update" in kind.verbs]
DEPTH_MAX = 7
WORDS = ["", "a", "web", "A_b", "..", "a.b/c", "10.0.0.1", "None", "Always", "In", "Exists", "http", "x" * 64, "é"]
NUMBERS = [-1, 0, 1, 80, 65536, 2**31 - 1]
SCALARS = {
    Shape.STRING: st.sampled_from(WORDS),
    Shape.INT32: st.sampled_from(NUMBERS),
    Shape.INT64: st.sampled_from(NUMBERS),
    Shape.NUMBER: st.sampled_from(NUMBERS),
    Shape.BOOLEAN: st.booleans(),
    Shape.BYTES: st.sampled_from(["", "QQ==", "e30="]),
    Shape.TIME: st.just("2026-01-01T00:00:00Z"),
    Shape.MICRO_TIME: st.just("2026-01-01T00:00:00.000000Z"),
    Shape.QUANTITY: st.sampled_from(["0", "1", "-1", "500m", "1Gi", "1e3"]),
    Shape.INT_OR_STRING: st.sampled_from([0, 80, -1, "http", "25%", "101%", ""]),
    Shape.ANY: st.sampled_from([{}, [], "x", 1]),
}


def values(schema: Schema | None, depth: int):
    """Values that fit the schema, with few of its fields at a time."""
    if schema is None:
        return st.just("x")
    match schema.shape:
        case Shape.STRUCT:
            if depth == 0 or not schema.properties:
                return st.just({})
            return st.lists(st.sampled_from(sorted(schema.properties)), max_size=6, unique=True).flatmap(
                lambda names: st.fixed_dictionaries(
                    {name: values(schema.properties[name], depth - 1) for name in names}
                )
            )
        case Shape.LIST:
            return st.lists(values(schema.items, depth - 1), max_size=2) if depth else st.just([])
        case Shape.MAP:
            return st.dictionaries(st.sampled_from(WORDS), values(schema.items, depth - 1), max_size=2)
        case _:
            return SCALARS[schema.shape]


def objects(kind):
    schema = definitions.schema_of(kind.resource)
    fields = {name: values(schema.properties[name], DEPTH_MAX) for name in schema.properties}
    fields |= {"apiVersion": st.just(kind.resource.api_version), "kind": st.just(kind.resource.kind)}
    return st.fixed_dictionaries(fields).map(lambda obj: checked(schema, obj))


def checked(schema, obj):
    """As the server does it: what the walker prunes, no strategy sees."""
    obj = copy.deepcopy(obj)
    walker.check(schema, obj)
    obj.setdefault("metadata", {})
    return obj


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource.group_resource)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_rule_trips_over_what_the_schema_lets_through(kind, data):
    strategy = kind.strategy
    obj, other = data.draw(objects(kind)), data.draw(objects(kind))
    strategy.prepare_create(obj)
    strategy.default(obj)
    strategy.validate_create(obj)
    strategy.warnings(obj, None)
    strategy.selectable_fields(obj)
    strategy.prepare_status_update(copy.deepcopy(other), obj)
    strategy.validate_status_update(other, obj)
    strategy.prepare_update(other, obj)
    strategy.default(other)
    strategy.validate_update(other, obj)
    strategy.warnings(other, obj)
