"""What writes take of something shared, and who keeps the count of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem


class Ledger(Protocol):
    """Counts what is taken of one shared thing; rows name the ledgers that writing their objects concerns."""

    def plan(self, obj: Object, old: Object | None, chance: Random) -> tuple[Sequence[Any], Sequence[Problem]]:
        """Fill in what the object needs and check what it asks for. Takes nothing; says what is to be taken."""
        ...

    def take(self, planned: Iterable[Any]) -> None:
        """Take what was planned, at once: whoever plans after this finds it taken."""
        ...

    def release(self, taken: Iterable[Any]) -> None:
        """Give back what was taken, once the write is in the store, which then shows it, or has failed."""
        ...


#: All of them by name.
Ledgers = Mapping[str, Ledger]
#: What a write is to take, by the ledger's name.
Claims = Mapping[str, Sequence[Any]]
NO_CLAIMS: Claims = {}
