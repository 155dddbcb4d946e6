"""Columns of workloads."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

REPLICASETS = PLAIN
DEPLOYMENTS = PLAIN
STATEFULSETS = PLAIN
CONTROLLERREVISIONS = PLAIN
