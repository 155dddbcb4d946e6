"""Feeding the server what nobody should send, and measuring what that costs: see `main`."""
