"""Gives every node a pod range of its own."""
