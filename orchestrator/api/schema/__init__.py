"""The shape of every kind, from the published definitions, and the walker that checks objects against it."""
