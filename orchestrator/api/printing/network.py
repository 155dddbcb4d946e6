"""Columns of network."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

SERVICES = PLAIN
ENDPOINTS = PLAIN
ENDPOINTSLICES = PLAIN
