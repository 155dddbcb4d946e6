"""Controllers: each compares what is wanted with what is, and takes one step. See `registry.py` for all of them."""
