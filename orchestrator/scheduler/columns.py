"""Columns of the node table: what one of its arrays is, and how one row of it changes."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Amounts = npt.NDArray[np.int64]
Score = npt.NDArray[np.float64]

T = TypeVar("T", bound=np.generic)

#: The most that a column shows: the difference of any two shown amounts is still within 64 bits.
SHOWN_MAX = 2**62


class Sums:
    """Amounts added up by row. `shown` is what arithmetic over all rows reads: saturated, so it never overflows.

    The sums themselves are exact whatever is added, so that taking away what was added gives back what was before.
    """

    def __init__(self, rows: int = 0) -> None:
        self.shown: Amounts = np.zeros(rows, dtype=np.int64)
        self._exact: list[int] = [0] * rows

    def add(self, row: int, amount: int) -> None:
        """Add to one row; a negative amount takes away."""
        total = self._exact[row] = self._exact[row] + amount
        self.shown[row] = saturated(total)

    def grow(self, rows: int) -> None:
        """Make the column `rows` long; the rows that come are zero."""
        self.shown = longer(self.shown, rows)
        self._exact += [0] * (rows - len(self._exact))


def saturated(amount: int) -> int:
    """The nearest amount that a column can show."""
    return max(-SHOWN_MAX, min(amount, SHOWN_MAX))


def longer(column: npt.NDArray[T], rows: int) -> npt.NDArray[T]:
    """The column with zeros behind it, `rows` long."""
    return np.concatenate([column, np.zeros(rows - len(column), dtype=column.dtype)])
