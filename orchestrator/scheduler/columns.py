"""Columns of the node table: what one of its arrays is, and how one row of it changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Amounts = npt.NDArray[np.int64]
Score = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

T = TypeVar("T", bound=np.generic)
V = TypeVar("V", bound=Hashable)

#: The most that a column shows: the difference of any two shown amounts is still within 64 bits.
SHOWN_MAX = 2**62
# Rows that changed and are remembered; whoever is further behind looks at all rows again.
_CHANGES_MAX = 1_024


class Sums(Generic[T]):
    """Amounts added up by row. `shown` is what arithmetic over all rows reads: saturated, so it never overflows.

    The sums themselves are exact whatever is added, so that taking away what was added gives back what was before.
    They are shown as int64, or as float64 to those who calculate in it anyway.
    """

    def __init__(self, shown: npt.NDArray[T]) -> None:
        rows = len(shown)
        self.shown = shown
        self._exact: list[int] = [0] * rows

    def add(self, row: int, amount: int) -> None:
        """Add to one row; a negative amount takes away."""
        total = self._exact[row] = self._exact[row] + amount
        self.shown[row] = saturated(total)

    def grow(self, rows: int) -> None:
        """Make the column `rows` long; the rows that come are zero."""
        self.shown = longer(self.shown, rows)
        self._exact += [0] * (rows - len(self._exact))


class Codes(Generic[V]):
    """One property of the nodes as a small integer by row: what equality, counting and grouping over all rows need.

    Code 0 means that the row has no value. A value has the same code as long as any row has it; after that, another
    value may get the code. So whoever counts does it by row, and sums up by code when asked (`np.bincount`).
    """

    def __init__(self, rows: int = 0) -> None:
        self.by_row: npt.NDArray[np.int32] = np.zeros(rows, dtype=np.int32)
        self._values: list[V | None] = [None]
        self._holders: list[int] = [rows]
        self._code_of: dict[V, int] = {}
        self._unused: list[int] = []

    @property
    def count(self) -> int:
        """How many codes there are, 0 included: the length of arrays by code."""
        return len(self._values)

    def set(self, row: int, value: V | None) -> None:
        """Give one row its value; None takes it away."""
        self._release(int(self.by_row[row]))
        self.by_row[row] = code = 0 if value is None else self._code(value)
        self._holders[code] += 1

    def holds(self, rows: Rows, test: Callable[[V | None], bool]) -> Mask:
        """Whether each of the rows has a value that passes; the test is asked at most once for each distinct value."""
        mask: Mask = self.numbers(rows, test) != 0.0
        return mask

    def numbers(self, rows: Rows, measure: Callable[[V | None], float]) -> Score:
        """A number for each of the rows; `measure` is asked at most once for each distinct value."""
        codes = self.by_row[rows]
        if len(rows) < self.count:
            return np.array([measure(self._values[code]) for code in codes], dtype=np.float64)
        measured = [measure(value) if self._holders[code] else 0.0 for code, value in enumerate(self._values)]
        numbers: Score = np.array(measured, dtype=np.float64)[codes]
        return numbers

    def grow(self, rows: int) -> None:
        """Make the column `rows` long; the rows that come have no value."""
        self._holders[0] += rows - len(self.by_row)
        self.by_row = longer(self.by_row, rows)

    def _code(self, value: V) -> int:
        code = self._code_of.get(value)
        if code is None:
            if self._unused:
                code = self._unused.pop()
                self._values[code] = value
            else:
                code = len(self._values)
                self._values.append(value)
                self._holders.append(0)
            self._code_of[value] = code
        return code

    def _release(self, code: int) -> None:
        self._holders[code] -= 1
        if code and not self._holders[code]:
            value = self._values[code]
            assert value is not None
            del self._code_of[value]
            self._values[code] = None
            self._unused.append(code)


class ChangedRows:
    """Which rows' fixed properties changed, so that what was computed from them is computed anew for those alone."""

    def __init__(self) -> None:
        #: Grows by one with each change.
        self.revision = 0
        self._rows: deque[int] = deque(maxlen=_CHANGES_MAX)

    def note(self, row: int) -> None:
        """One row changed."""
        self.revision += 1
        self._rows.append(row)

    def since(self, revision: int) -> Rows | None:
        """The rows that changed after a revision, each once; None if that is too long ago to know."""
        behind = self.revision - revision
        if behind > len(self._rows):
            return None
        newest = [self._rows[-number] for number in range(1, behind + 1)]
        return np.array(sorted(set(newest)), dtype=np.intp)


def saturated(amount: int) -> int:
    """The nearest amount that a column can show."""
    return max(-SHOWN_MAX, min(amount, SHOWN_MAX))


def longer(column: npt.NDArray[T], rows: int) -> npt.NDArray[T]:
    """The column with zeros behind it, `rows` long."""
    return np.concatenate([column, np.zeros(rows - len(column), dtype=column.dtype)])
