"""Leases: rules."""

from __future__ import annotations

from orchestrator.api.strategies.base import Strategy

LEASES_STRATEGY = Strategy()
