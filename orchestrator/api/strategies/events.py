"""Events of both groups: rules, and the conversion between their two shapes."""

from __future__ import annotations

from orchestrator.api.strategies.base import Strategy

EVENTS_STRATEGY = Strategy()
EVENTS_V1_STRATEGY = Strategy()
