"""Columns of events."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

CORE_EVENTS = PLAIN
EVENTS = PLAIN
