"""ReplicaSets, Deployments, StatefulSets and ControllerRevisions: defaults and rules."""

from __future__ import annotations

from orchestrator.api.strategies.base import Strategy

REPLICASETS_STRATEGY = Strategy()
DEPLOYMENTS_STRATEGY = Strategy()
STATEFULSETS_STRATEGY = Strategy()
CONTROLLERREVISIONS_STRATEGY = Strategy()
