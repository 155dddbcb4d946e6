"""Deletes what has lost its owners, and keeps the order that a deletion asks for."""
