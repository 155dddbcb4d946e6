"""The command behind `scripts/bench`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

import scripts.benchmarks
from scripts.benchmarks.table import Context, Row, rendered, write_json

_NO_ROWS = ("main", "table")


def main() -> None:
    """Run the chosen modules one after another, so that none disturbs another."""
    parts = [found.name for found in pkgutil.iter_modules(scripts.benchmarks.__path__) if found.name not in _NO_ROWS]
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure what this machine can.")
    parser.add_argument("--rows", default=",".join(parts), help="parts to measure, by comma: %(default)s")
    parser.add_argument("--seconds", type=int, default=8, help="how long to measure each row")
    parser.add_argument("--rounds", type=int, default=3, help="how often, where rounds are interleaved")
    parser.add_argument(
        "--against", type=Path, default=None, help="another checkout to measure in turn with this one (rows: api)"
    )
    parser.add_argument("--json", type=Path, default=None, help="also write the rows here")
    arguments = parser.parse_args()
    context = Context(arguments.seconds, arguments.rounds, lambda text: print(text, file=sys.stderr), arguments.against)
    rows: list[Row] = []
    for part in arguments.rows.split(","):
        if part not in parts:
            parser.error(f"no such part: {part} (there are {', '.join(parts)})")
        module = importlib.import_module(f"scripts.benchmarks.{part}")
        if not hasattr(module, "run"):
            context.say(f"{part}: has no rows here; run python -m scripts.benchmarks.{part}")
            continue
        context.say(f"{part}: measuring")
        rows += module.run(context)
    print(rendered(rows))
    if arguments.json is not None:
        write_json(rows, arguments.json)


if __name__ == "__main__":
    main()
