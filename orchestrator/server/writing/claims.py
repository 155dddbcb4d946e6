"""What a write takes of something shared: objects of its own, written in the same commit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem
from orchestrator.server.admission.base import Objects
from orchestrator.server.dice import Dice
from orchestrator.store.base import Delete, Operation, Put


class Claim:
    """What is to be written beside an object, and at which revision what it was decided on must still be."""

    __slots__ = ("expectations", "operations")

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.expectations: dict[str, int] = {}

    def put(self, key: str, value: bytes, expect: int) -> None:
        """Have the key hold this, if it is at this revision (0: not there)."""
        self.operations.append(Put(key, value))
        self.expectations[key] = expect

    def delete(self, key: str, expect: int) -> None:
        """Have the key go, if it is at this revision."""
        self.operations.append(Delete(key))
        self.expectations[key] = expect


class World(Protocol):
    """The facts that a ledger may look at; `writing.facts.Facts` has them."""

    @property
    def objects(self) -> Objects: ...
    @property
    def dice(self) -> Dice: ...
    @property
    def timestamp(self) -> str: ...


class Ledger(Protocol):
    """Knows how something shared is written down; rows name the ledgers that writing their objects concerns."""

    def plan(self, new: Object | None, old: Object | None, world: World) -> tuple[Claim, Sequence[Problem]]:
        """Fill in what `new` needs, check what it asks for, and say what is to be written beside it.

        `new` is None for an object that goes, `old` for one that comes. With problems, the claim means nothing.
        """
        ...


#: All of them by name.
Ledgers = Mapping[str, Ledger]
