"""Leases: durations and counts that make sense."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, forbidden, invalid, not_supported
from orchestrator.api.strategies.rules import NEGATIVE, Problems, qualified_name
from orchestrator.api.strategies.spec_status import Named

_STRATEGIES = ("OldestEmulationVersion",)


class _Leases(Named):
    has_generation = False
    must_exist_for_update = False
    allows_unconditional_update = False

    def default(self, obj: Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}

    def rules(self, obj: Object) -> Sequence[Problem]:
        spec = obj.get("spec") or {}
        problems: Problems = []
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            problems.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            problems.append(invalid("spec.leaseTransitions", transitions, NEGATIVE))
        strategy = spec.get("strategy")
        if strategy is not None:
            # Kubernetes says "strategy" twice.
            field = "spec.strategy.strategy"
            if "/" in strategy:
                problems += qualified_name(field, strategy)
            elif strategy not in _STRATEGIES:
                problems.append(not_supported(field, strategy, _STRATEGIES))
        if spec.get("preferredHolder") and not strategy:
            words = "may only be specified if `strategy` is defined"
            problems.append(forbidden("spec.preferredHolder", words))
        return problems


LEASES_STRATEGY = _Leases()
