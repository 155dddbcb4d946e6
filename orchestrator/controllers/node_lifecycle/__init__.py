"""Notices nodes that fall silent, marks them, and moves their pods away in time."""
