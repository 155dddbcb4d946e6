"""Nodes: defaults, rules, what a client may not set."""

from __future__ import annotations

from orchestrator.api.strategies.base import Strategy

NODES_STRATEGY = Strategy()
