"""The rules of each kind: defaults, validation, and what a client may not set. One file per family of kinds."""
