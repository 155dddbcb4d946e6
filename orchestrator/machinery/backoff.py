"""Delays between attempts, as pure arithmetic."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubling delays between `first_s` and `limit_s`."""

    first_s: float = 0.2
    limit_s: float = 60.0
    factor: float = 2.0

    def delay_s(self, failures: int) -> float:
        """The delay after that many failures in a row (1 or more)."""
        # The exponent is capped because a float overflows long after the limit was reached.
        return min(self.limit_s, self.first_s * self.factor ** min(max(failures, 1) - 1, 64))


def jittered(delay_s: float, *, dice: random.Random, share: float = 0.5) -> float:
    """Lengthen a delay by up to `share` of it, so that clients that failed together do not return together."""
    return delay_s * (1.0 + share * dice.random())
