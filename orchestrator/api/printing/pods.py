"""Columns of pods."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

PODS = PLAIN
