"""The container runtime behind an interface in our words."""
