"""Endpoints and EndpointSlices: defaults and rules."""

from __future__ import annotations

from orchestrator.api.strategies.base import Strategy

ENDPOINTS_STRATEGY = Strategy()
ENDPOINTSLICES_STRATEGY = Strategy()
