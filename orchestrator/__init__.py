"""Wherry's control plane: the API server, the controllers, the scheduler and the lab."""

__version__ = "0.1.0"
