"""Keeps as many pods of a template as a ReplicaSet wants."""
