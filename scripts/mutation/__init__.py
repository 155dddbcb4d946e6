"""Planting small bugs to see which tests notice: see `main`."""
