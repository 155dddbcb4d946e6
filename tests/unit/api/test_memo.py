"""Nothing that clients send stays in a cache because it was asked about."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.api import quantities
from orchestrator.api.memo import CHARS_MAX, memo
from orchestrator.api.printing import durations
from orchestrator.api.strategies import rules
from orchestrator.server import negotiation

ROOT = Path(__file__).resolve().parents[3]
#: Caches of what is the program's own: types, tables, seconds, labels of metrics.
OF_OUR_OWN = {
    "orchestrator/api/codec.py",
    "orchestrator/api/memo.py",
    "orchestrator/api/schema/definitions.py",
    "orchestrator/server/metrics.py",
    "orchestrator/server/openapi/documents.py",
    "orchestrator/server/protobuf/decoder.py",
    "orchestrator/server/writing/facts.py",
}


def test_short_texts_are_remembered_and_long_ones_are_not() -> None:
    asked: list[tuple[str, int]] = []

    @memo(entries_max=2)
    def echo(text: str, number: int) -> str:
        """What it says."""
        asked.append((text, number))
        return text * number

    short, long = "x" * CHARS_MAX, "x" * (CHARS_MAX + 1)
    assert [echo(short, 2), echo(short, 2), echo(long, 2), echo(long, 2)] == [short * 2] * 2 + [long * 2] * 2
    assert asked == [(short, 2), (long, 2), (long, 2)]
    assert echo.__doc__ == "What it says."


@pytest.mark.parametrize(
    "ask",
    [
        rules.is_label,
        rules.is_subdomain,
        rules.is_qualified_name,
        rules.is_port_name,
        rules.is_label_value,
        rules.parse_ip,
        quantities.parse,
        quantities.canonical,
        quantities.canonical_amount,
        durations.seconds_of,
        negotiation.accepted,
    ],
)
def test_no_long_text_is_kept(ask: Callable[[str], object]) -> None:
    text = "".join(["0"] * 100_000)
    before = sys.getrefcount(text)
    with suppress(ValueError):
        ask(text)
    assert sys.getrefcount(text) == before


def test_caches_of_foreign_text_are_memos() -> None:
    users = set()
    for folder in ("orchestrator", "node_agent", "netproxy"):
        for path in (ROOT / folder).rglob("*.py"):
            imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
            names = {alias.name for node in imports if node.module == "functools" for alias in node.names}
            if names & {"cache", "lru_cache"}:
                users.add(path.relative_to(ROOT).as_posix())
    assert users <= OF_OUR_OWN
