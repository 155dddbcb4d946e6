"""Keeps numbered pods with an identity, in order."""
