"""Columns of configuration."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

CONFIGMAPS = PLAIN
SECRETS = PLAIN
SERVICEACCOUNTS = PLAIN
