"""Benchmarks: one module per part of the system, each with a `run(context)` that gives rows."""
