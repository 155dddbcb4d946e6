"""Whatever the schema lets through is judged by the rules: an answer, never an exception."""

from __future__ import annotations

import copy
import random

import pytest

from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.schema import definitions, walker
from orchestrator.api.schema.shapes import Schema, Shape

STORED = [kind for kind in BUILT_IN.rows if "update" in kind.verbs]
ROUNDS = 150
FIELDS_MAX = 8
DEPTH_MAX = 8
WORDS = ("", "a", "web", "A_b", "..", "a.b/c", "10.0.0.1", "::1", "None", "Always", "In", "http", "x" * 64, "é")
NUMBERS = (-1, 0, 1, 80, 65536, 2**31 - 1)
SCALARS = {
    "STRING": WORDS,
    "INT32": NUMBERS,
    "INT64": NUMBERS,
    "NUMBER": NUMBERS,
    "BOOLEAN": (False, True),
    "BYTES": ("", "QQ==", "e30="),
    "TIME": ("2026-01-01T00:00:00Z",),
    "MICRO_TIME": ("2026-01-01T00:00:00.000000Z",),
    "AMOUNT": ("0", "1", "-1", "500m", "1Gi", "1e3"),
    "QUANTITY": ("0", "1", "-1", "500m", "1Gi", "1e3"),
    "INT_OR_STRING": (0, 80, -1, "http", "25%", "101%", ""),
    "ANY": ("x", 1, True),
}


def value(schema: Schema | None, dice: random.Random, depth: int = DEPTH_MAX):
    """Some value that fits the schema, with few of its fields at a time."""
    if schema is None:
        return "x"
    match schema.shape:
        case Shape.STRUCT:
            known = sorted(schema.properties)
            names = dice.sample(known, min(len(known), dice.randint(0, FIELDS_MAX))) if depth else []
            return {name: value(schema.properties[name], dice, depth - 1) for name in names}
        case Shape.LIST:
            return [value(schema.items, dice, depth - 1) for _ in range(dice.randint(0, 2) if depth else 0)]
        case Shape.MAP:
            return {dice.choice(WORDS): value(schema.items, dice, depth - 1) for _ in range(dice.randint(0, 2))}
        case _:
            return dice.choice(SCALARS[schema.shape.name])


def an_object(kind, dice: random.Random):
    """An object as a strategy gets it from the server: checked by the walker, with all its top-level parts."""
    schema = definitions.schema_of(kind.resource)
    obj = {name: value(part, dice) for name, part in schema.properties.items()}
    obj |= {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind}
    walker.check(schema, obj)
    obj.setdefault("metadata", {})
    return obj


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource.group_resource)
def test_no_rule_trips_over_what_the_schema_lets_through(kind):
    dice = random.Random(7)
    strategy = kind.strategy
    for _ in range(ROUNDS):
        obj, other = an_object(kind, dice), an_object(kind, dice)
        strategy.default(obj)
        strategy.prepare_create(obj)
        strategy.validate_create(obj)
        strategy.warnings(obj, None)
        strategy.selectable_fields(obj)
        status = copy.deepcopy(other)
        strategy.prepare_status_update(status, obj)
        strategy.validate_status_update(status, obj)
        strategy.default(other)
        strategy.prepare_update(other, obj)
        strategy.default(other)
        once = copy.deepcopy(other)
        strategy.default(other)
        assert other == once
        strategy.validate_update(other, obj)
        strategy.warnings(other, obj)
