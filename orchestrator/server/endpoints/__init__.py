"""Thin: a call in, the store or the cache asked, an answer out. One file per family of verbs."""
