"""Columns of certificates."""

from __future__ import annotations

from orchestrator.api.printing.columns import PLAIN

CERTIFICATESIGNINGREQUESTS = PLAIN
