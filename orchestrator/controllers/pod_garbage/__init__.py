"""Removes pods that nobody else will: of nodes that are gone, and finished ones beyond a limit."""
