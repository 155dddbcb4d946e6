"""What the outcome of a stage of a write, or of an admission plugin within it, may depend on."""

from __future__ import annotations

import enum


class Reads(enum.Flag):
    """What the outcome of a stage depends on. Kind and door are always known, and the configuration never changes."""

    NAME = enum.auto()
    """The object's name, or the prefix for one."""
    TEMPLATE = enum.auto()
    """All of the object but its name."""
    OLD = enum.auto()
    """The object as it is stored."""
    USER = enum.auto()
    """Who asks."""
    NAMESPACE = enum.auto()
    """The request's namespace."""
    OPTIONS = enum.auto()
    """The request's options."""
    OBJECTS = enum.auto()
    """Other objects, through `Facts.objects` alone."""
    CLOCK = enum.auto()
    """What time it is."""
    DICE = enum.auto()
    """Chance, through `Facts.dice` alone."""
