"""Seats: how many requests are answered at once, of which levels and for whom. Pure counting; `gate.py` waits."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.server.gate.levels import SEATS_USUAL, Level


class Seats:
    """`total` seats. Each level has its reserve, in proportion to `total`; the rest is for whoever comes first.

    A *flow* is the requests of one identity within a level. It never has more than half of the seats that its level
    could have, so that a second one always finds some.
    """

    def __init__(self, levels: Sequence[Level], total: int) -> None:
        self._total = total
        self._in_use = 0
        self._of_level = dict.fromkeys(levels, 0)
        self._of_flow: dict[tuple[Level, str], int] = {}
        self._reserve = {level: level.reserve * total // SEATS_USUAL for level in levels}
        # Seats that must stay free for the levels they are reserved for.
        self._held_back = sum(self._reserve.values())
        common = total - self._held_back
        self._share = {level: max(1, (common + reserve) // 2) for level, reserve in self._reserve.items()}

    def of_level(self, level: Level) -> int:
        """How many requests of this level are being answered."""
        return self._of_level[level]

    def of_flow(self, level: Level, flow: str) -> int:
        """How many of them are this identity's."""
        return self._of_flow.get((level, flow), 0)

    def is_full(self, level: Level) -> bool:
        """Whether nobody of this level can be seated, whoever it is."""
        own = max(0, self._reserve[level] - self._of_level[level])
        return self._in_use + self._held_back - own >= self._total

    def is_free(self, level: Level, flow: str) -> bool:
        """Whether this identity can be seated."""
        return not self.is_full(level) and self._of_flow.get((level, flow), 0) < self._share[level]

    def take(self, level: Level, flow: str) -> None:
        """Seat a request for which there is a free seat."""
        if self._of_level[level] < self._reserve[level]:
            self._held_back -= 1
        self._in_use += 1
        self._of_level[level] += 1
        self._of_flow[level, flow] = self._of_flow.get((level, flow), 0) + 1

    def give_back(self, level: Level, flow: str) -> None:
        """The request that was seated has been answered."""
        self._in_use -= 1
        self._of_level[level] -= 1
        if self._of_level[level] < self._reserve[level]:
            self._held_back += 1
        left = self._of_flow[level, flow] - 1
        if left:
            self._of_flow[level, flow] = left
        else:
            del self._of_flow[level, flow]
