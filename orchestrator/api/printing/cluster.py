"""Columns of cluster."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

NAMESPACES = PLAIN
NODES = PLAIN
LEASES = PLAIN
