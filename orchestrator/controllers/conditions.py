"""Conditions as values: replace one of a tuple, keeping the time of its last transition where nothing changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.api.views.meta import Condition


def condition_of(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)


def with_condition(conditions: Sequence[Condition], wanted: Condition) -> tuple[Condition, ...]:
    """`conditions` with `wanted` in place; untouched if status, reason and message are as wanted already.

    The transition time of the present one stays while the status does.
    """
    present = condition_of(conditions, wanted.type)
    if present is None:
        return (*conditions, wanted)
    if (present.status, present.reason, present.message) == (wanted.status, wanted.reason, wanted.message):
        return tuple(conditions)
    if present.status == wanted.status:
        wanted = msgspec.structs.replace(wanted, last_transition_time=present.last_transition_time)
    return tuple(wanted if condition.type == wanted.type else condition for condition in conditions)


def without_condition(conditions: Sequence[Condition], type_: str) -> tuple[Condition, ...]:
    """`conditions` without that type."""
    return tuple(condition for condition in conditions if condition.type != type_)
