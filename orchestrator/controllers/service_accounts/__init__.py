"""Sees that every namespace has its `default` service account."""
