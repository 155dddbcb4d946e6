"""Rolls a Deployment's template out through ReplicaSets."""
