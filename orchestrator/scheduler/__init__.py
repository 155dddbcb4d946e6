"""The scheduler: which node a pod runs on, decided over arrays."""
