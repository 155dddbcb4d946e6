"""What a benchmark gives: rows, printed as a table and written as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `bar` is what it is measured against, in words; empty where there is none."""

    part: str
    name: str
    value: float
    unit: str
    bar: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a module's `run` gets: how long to measure each row, and where to say what is going on.

    `against` is another checkout, with an environment of its own, to measure in turn with this one.
    """

    seconds: int
    rounds: int
    say: Callable[[str], None]
    against: Path | None = None


def rendered(rows: Iterable[Row]) -> str:
    """The rows as aligned text."""
    lines = [("part", "figure", "value", "bar")]
    lines += [(row.part, row.name, f"{_number(row.value)} {row.unit}", row.bar) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def write_json(rows: Iterable[Row], path: Path) -> None:
    """The rows, and the machine they were measured on."""
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"
