"""Says of every network of services whether addresses come from it, and keeps it while any is in use."""
