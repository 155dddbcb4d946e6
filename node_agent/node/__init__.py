"""This machine as a Node object: registered, kept up to date, alive by its lease."""
