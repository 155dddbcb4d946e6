"""ConfigMaps, Secrets and ServiceAccounts: defaults and rules."""

from __future__ import annotations

from orchestrator.api.strategies.base import Strategy

CONFIGMAPS_STRATEGY = Strategy()
SECRETS_STRATEGY = Strategy()
SERVICEACCOUNTS_STRATEGY = Strategy()
